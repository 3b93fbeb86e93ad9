"""Heads of published checkpoints, both ways: theirs opened by us, ours opened by them, with the same logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vitrail
from oracles.tiny import ORACLES, VOCAB_SIZE, randomized
from tasks.references import AUTO, PAIRS, TASK_OF
from vitrail.families import BY_MODEL_TYPE
from vitrail.families.heads import KINDS, MASKED, SEQUENCE, SPAN, TOKENS
from vitrail.layers.packing import Packing

LENGTHS = (11, 4, 7)
LABELS = {0: "no", 1: "yes", 2: "maybe"}


def test_every_kind_is_there_for_every_family_that_publishes_it():
    assert {kind for _, kind in PAIRS} == set(KINDS)
    for oracle in ORACLES.values():
        ours = set(BY_MODEL_TYPE[oracle.model_type].heads)
        config = type(oracle.config())
        assert ours == {kind for kind, auto in AUTO.items() if config in auto._model_mapping}


def reference(name: str, kind: str, folder: Path, **options: Any) -> Any:
    """A tiny model of the reference library with a head, saved in `folder`."""
    config = ORACLES[name].config()
    labels = LABELS if kind in (SEQUENCE, TOKENS) else {0: "LABEL_0", 1: "LABEL_1"}
    config.id2label, config.label2id = labels, {label: index for index, label in labels.items()}
    for option, value in options.items():
        setattr(config, option, value)
    model = randomized(AUTO[kind].from_config(config)).eval()
    model.tie_weights()
    model.save_pretrained(folder)
    return model


def sequences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, VOCAB_SIZE, (length,), generator=generator) for length in LENGTHS]


def their_logits(model: Any, kind: str) -> Tensor:
    rows = []
    for ids in sequences():
        outputs = model(ids.unsqueeze(0))
        if kind == SPAN:
            rows.append(torch.stack([outputs.start_logits[0], outputs.end_logits[0]], dim=-1))
        else:
            rows.append(outputs.logits if kind == SEQUENCE else outputs.logits[0])
    return torch.cat(rows)


def our_logits(encoder: vitrail.Encoder) -> Tensor:
    packing = Packing.of(LENGTHS)
    assert encoder.task is not None
    assert encoder.task.head is not None
    return encoder.task.head(encoder.model(torch.cat(sequences()), packing), packing)


@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if "," in pair[0] else []) for pair in PAIRS],
)
def test_a_published_head_gives_their_logits_and_opens_there_again(name: str, kind: str, tmp_path: Path):
    model = reference(name, kind, tmp_path / "theirs")

    encoder = vitrail.load(tmp_path / "theirs", task=TASK_OF[kind], device="cpu")
    encoder.save(tmp_path / "ours", format="transformers")
    again, report = AUTO[kind].from_pretrained(tmp_path / "ours", attn_implementation="eager", output_loading_info=True)

    expected = their_logits(model, kind)
    for logits in (our_logits(encoder), their_logits(again.eval(), kind)):
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    if kind in (SEQUENCE, TOKENS):
        assert encoder.task.labels == tuple(LABELS.values())
        assert again.config.id2label == LABELS
        assert again.config.label2id == {label: index for index, label in LABELS.items()}
    twice = vitrail.load(tmp_path / "ours", task=TASK_OF[kind], device="cpu")
    torch.testing.assert_close(our_logits(twice), our_logits(encoder), rtol=0, atol=0)
    assert not twice.ignored_options
    assert not twice.unused_tensors or kind == MASKED
    assert encoder.new_task(TASK_OF[kind], labels=encoder.task.labels).head.spec == encoder.task.head.spec
