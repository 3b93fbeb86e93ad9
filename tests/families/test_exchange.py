"""Folders go both ways: what the reference library saves we load, and what we save it opens."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from oracles.carrying import Pair, filled, read_folder
from oracles.tiny import ORACLES, Batch, batches, reference_hidden
from vitrail.checkpoints.weight_map import publish
from vitrail.errors import CheckpointMismatch, ExportError
from vitrail.families import Config, config_of, gte, nomic_bert, spec_of
from vitrail.models import EncoderModel, SinusoidalPositions
from vitrail.models.padded import run_padded


def our_hidden(model: EncoderModel, batch: Batch) -> Tensor:
    with torch.no_grad():
        return run_padded(model, batch.input_ids, batch.attention_mask, batch.token_type_ids)


def test_every_option_of_a_config_the_reference_writes_is_understood(pair: Pair):
    assert pair.config.unread == ()


def test_a_folder_we_write_opens_in_the_reference_with_the_same_output(pair: Pair, tmp_path: Path):
    tensors = publish(pair.family.weights[0], dict(pair.ours.named_parameters()), pair.ours.spec.shared_layers)
    save_file(
        {name: tensor.detach() for name, tensor in tensors.items()}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    (tmp_path / "config.json").write_text(json.dumps(config_of(pair.family, pair.ours.spec)))

    opened, report = transformers.AutoModel.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )

    assert {name for name in report["missing_keys"] if "pooler" not in name} == set()
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    batch = batches(pair.padding_id)["padded on the left"]
    with torch.no_grad():
        wanted = reference_hidden(opened, batch)
    torch.testing.assert_close(our_hidden(pair.ours, batch), wanted, atol=1e-5, rtol=0)


def test_a_checkpoint_saved_with_a_head_loads_and_the_head_is_listed_as_unused(pair: Pair, tmp_path: Path):
    with_head = ORACLES[pair.name].build(transformers.AutoModelForMaskedLM)
    with_head.save_pretrained(tmp_path)
    family, spec, _, tensors = read_folder(tmp_path)

    ours, plan = filled(family, spec, tensors)

    batch = batches(pair.padding_id)["padded on the right"]
    with torch.no_grad():
        wanted = reference_hidden(with_head.base_model, batch)
    torch.testing.assert_close(our_hidden(ours, batch), wanted, atol=1e-5, rtol=0)
    read = {piece.name for piece in plan.slices.values()}
    assert set(plan.unused) == tensors.keys() - read
    assert plan.unused


CLASSIFIER = transformers.AutoModelForSequenceClassification


@pytest.mark.parametrize("name", ["distilbert", "electra", "albert", "deberta-v3", "modernbert", "eurobert", "gte"])
def test_a_classifier_s_checkpoint_loads(name: str, tmp_path: Path):
    ORACLES[name].build(CLASSIFIER).save_pretrained(tmp_path)
    family, spec, _, tensors = read_folder(tmp_path)

    _, plan = filled(family, spec, tensors)

    assert any("classifier" in unused for unused in plan.unused)


def test_reading_what_a_spec_was_written_as_gives_the_spec(pair: Pair):
    values = json.loads(json.dumps(config_of(pair.family, pair.ours.spec)))

    assert spec_of(pair.family, Config(values)) == pair.ours.spec
    assert values["model_type"] == pair.family.model_types[0]
    assert values["architectures"] == [type(pair.reference).__name__]


def test_a_spec_the_format_cannot_express_is_refused_with_the_options_named(pair: Pair):
    changed = replace(pair.ours.spec, causal=True, embedding_scale=2.0)

    with pytest.raises(ExportError, match=r"causal True would become False; embedding_scale 2\.0 would become 1\.0"):
        config_of(pair.family, changed)


def test_positions_the_format_does_not_have_are_refused(pair: Pair):
    with pytest.raises(ExportError, match="position"):
        config_of(pair.family, replace(pair.ours.spec, positions=(SinusoidalPositions(),)))


def renamed(tensors: dict[str, Tensor], changes: dict[str, str], prefix: str) -> dict[str, Tensor]:
    for old, new in changes.items():
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return {prefix + name: tensor for name, tensor in tensors.items()}


def test_the_publishers_layouts_of_nomic_bert_and_gte_load(pair_of: Callable[[str], Pair]):
    nomic, gte_pair = pair_of("nomic_bert"), pair_of("gte")
    nomic_file, gte_file = (load_file(each.folder / "model.safetensors") for each in (nomic, gte_pair))
    unpacked = {name: tensor for name, tensor in gte_file.items() if "qkv_proj" not in name}
    for name in gte_file.keys() - unpacked.keys():
        for letter, part in zip("qkv", gte_file[name].chunk(3), strict=True):
            unpacked[name.replace("qkv", letter)] = part
    given: list[tuple[Pair, dict[str, Tensor], Any]] = [
        (nomic, renamed(nomic_file, {}, "bert."), replace(nomic_bert.PUBLISHED, prefix="bert.")),
        (nomic, nomic.reference.state_dict(), nomic_bert.CONVERTED),
        (gte_pair, renamed(gte_file, {}, "new."), gte.PACKED),
        (gte_pair, renamed(unpacked, {}, "new."), gte.UNPACKED),
        (gte_pair, gte_pair.reference.state_dict(), gte.CONVERTED),
    ]
    for pair, tensors, layout in given:
        assert layout in pair.family.weights
        ours, _ = filled(pair.family, pair.ours.spec, tensors)
        batch = batches(pair.padding_id)["padded on the right"]
        assert torch.equal(our_hidden(ours, batch), our_hidden(pair.ours, batch))


def test_a_layout_s_missing_and_unexpected_tensors_are_reported_in_its_own_names(pair_of: Callable[[str], Pair]):
    pair = pair_of("nomic_bert")
    tensors = dict(pair.reference.state_dict())
    tensors["layers.0.self_attn.q_extra.weight"] = tensors.pop("layers.0.self_attn.q_proj.weight")

    with pytest.raises(CheckpointMismatch) as caught:
        filled(pair.family, pair.ours.spec, tensors)

    assert caught.value.missing == ["layers.0.self_attn.q_proj.weight"]
    assert caught.value.unexpected == ["layers.0.self_attn.q_extra.weight"]
