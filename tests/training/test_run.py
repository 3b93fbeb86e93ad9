"""`vitrail.train` from a configuration to a model that opens again."""

import json

import numpy as np
import pytest
import yaml

import vitrail
from vitrail.errors import DataWarning, FingerprintMismatch, TrainingError
from vitrail.training.config_files import read_config

SPEC = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "dropout": 0.0}
BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "hidden_act": "gelu",
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.1,
}
GOOD, BAD = ("good", "fine", "lovely"), ("bad", "awful", "dull")


@pytest.fixture
def data(tmp_path):
    """Sentences that hold a good or a bad word, as JSON lines."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 48), ("validation", 16)):
        rows = []
        for number in range(count):
            label = ("pos", "neg")[number % 2]
            word = draw.choice(GOOD if label == "pos" else BAD)
            filler = " ".join(draw.choice(["the", "film", "was", "a", "story"], size=int(draw.integers(1, 8))))
            rows.append(json.dumps({"text": f"{number} {filler} {word}", "label": label}) + "\n")
        (tmp_path / f"{split}.jsonl").write_text("".join(rows))
    return tmp_path


def configuration(data, **training):
    return {
        "model": {"spec": SPEC, "tokenizer": {"vocab_size": 90}},
        "task": "text-classification",
        "data": {"train": str(data / "train.jsonl"), "validation": str(data / "validation.jsonl")},
        "training": {"epochs": 12, "batch_size": 8, "device": "cpu", **training},
        "optimizer": {"learning_rate": 2e-2},
        "logging": {"report": False},
    }


@pytest.mark.parametrize("spec", [SPEC, BERT], ids=["own", "bert"])
def test_a_model_built_from_nothing_learns_and_opens_again_with_the_same_predictions(data, tmp_path, spec):
    config = configuration(data)
    config["model"]["spec"] = spec
    result = vitrail.train(config, tmp_path / "run")

    assert result.metric == "accuracy"
    assert result.best == 1.0
    opened = vitrail.load(result.model, task="text-classification", device="cpu")
    predictions = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in (data / "validation.jsonl").read_text().splitlines()]
    for row, prediction, again in zip(rows, predictions, opened.predict([row["text"] for row in rows]), strict=True):
        assert prediction["gold"] == row["label"] == prediction["prediction"] == again.label
        assert prediction["probabilities"] == pytest.approx(dict(again.scores), abs=1e-5)


def test_the_folder_holds_the_resolved_configuration_and_a_log_of_every_step_and_score(data, tmp_path):
    result = vitrail.train(configuration(data, epochs=2), tmp_path / "run", overrides=["optimizer.clip=0.5"])

    saved = yaml.safe_load((result.folder / "config.yaml").read_text())
    assert saved["optimizer"]["clip"] == 0.5
    assert saved["optimizer"]["betas"] == [0.9, 0.999]
    assert read_config(result.folder / "config.yaml") == read_config(saved)
    log = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    steps = [record for record in log if record["event"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 13))
    assert {"loss", "learning_rate", "gradient_norm", "tokens", "tokens_per_second"} <= steps[0].keys()
    scores = [record for record in log if record["event"] == "evaluation"]
    assert [(record["epoch"], record["split"]) for record in scores] == [
        (1, "train_probe"),
        (1, "validation"),
        (2, "train_probe"),
        (2, "validation"),
    ]
    assert log[-1]["event"] == "end"


def test_a_folder_that_is_in_use_is_refused_and_resume_wants_the_same_run(data, tmp_path):
    config = configuration(data, epochs=1)
    vitrail.train(config, tmp_path / "run")

    with pytest.raises(FileExistsError, match="--resume"):
        vitrail.train(config, tmp_path / "run")
    with pytest.raises(FingerprintMismatch, match=r"training\.seed was 0, is 3"):
        vitrail.train(config, tmp_path / "run", overrides=["training.seed=3"], resume=True)
    with (data / "train.jsonl").open("a") as stream:
        stream.write(json.dumps({"text": "one more", "label": "pos"}) + "\n")
    with pytest.raises(FingerprintMismatch, match="data was"):
        vitrail.train(config, tmp_path / "run", resume=True)
    with pytest.raises(TrainingError, match="no run to go on with"):
        vitrail.train(config, tmp_path / "other", resume=True)


@pytest.mark.parametrize("token_dropout", [0.0, 0.4])
def test_a_resumed_run_leaves_the_log_of_one_that_was_not_stopped(data, tmp_path, token_dropout):
    config = configuration(data, epochs=2, token_dropout=token_dropout)
    whole = vitrail.train(config, tmp_path / "whole")
    vitrail.train(config, tmp_path / "cut")
    log = tmp_path / "cut" / "log.jsonl"
    log.write_text(log.read_text() + '{"event": "step", "step": 13')  # what a kill leaves

    resumed = vitrail.train(config, tmp_path / "cut", resume=True)

    def told(folder):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in lines]

    assert resumed.history == whole.history
    assert told(resumed.folder)[:-1] == told(whole.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epoch=3", r"training\.epoch: no such key; did you mean epochs\?"),
        ("optimiser.learning_rate=1", r"optimiser: no such key; did you mean optimizer\?"),
        ("training.epochs=zero", r"training\.epochs: .* got 'zero'"),
        ("training.epochs", r"write it as section\.key=value"),
        ("task.options.smoothing=0.1", r"task\.options\.smoothing: no such key; did you mean label_smoothing\?"),
        ("task.name=clasification", r"choose among text-classification"),
        ("training.watch=acc", r"no metric 'acc'; there are accuracy"),
        ("training.precision=bfloat16", "for a GPU"),
        ("model.spec.num_layer=3", r"model\.spec\.num_layer: no such key; did you mean num_layers\?"),
        ("optimizer.name=sgd", r"optimizer\.name: .* 'adamw' or 'muon'"),
        ("averaging={ema: 0.9, last_epochs: 2}", "not both"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_with_what_was_meant(data, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        vitrail.train(configuration(data), tmp_path / "run", overrides=[change])

    assert not (tmp_path / "run").exists()


def test_numbers_in_overrides_are_numbers_as_people_write_them(data):
    config = read_config(configuration(data), ["optimizer.learning_rate=1e-4", "training.patience=2", "lora={}"])

    assert (config.optimizer.learning_rate, config.training.patience) == (1e-4, 2)
    assert config.lora is not None


def test_tensorboard_gets_the_scalars_the_graph_and_the_vectors(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = {**configuration(data, epochs=1), "logging": {"tensorboard": True, "graph": True, "projector": True}}
    result = vitrail.train(config, tmp_path / "run")

    events = EventAccumulator(str(result.folder / "tensorboard")).Reload()
    assert {"train/loss", "train/learning_rate", "train/gradient_norm", "validation/accuracy"} <= {
        *events.Tags()["scalars"]
    }
    assert len(events.Scalars("train/tokens_per_second")) == 6
    assert events.Tags()["graph"]
    assert list((result.folder / "tensorboard").rglob("tensors.tsv"))


def test_tensorboard_that_is_asked_for_and_missing_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    config = {**configuration(data, epochs=1), "logging": {"tensorboard": True}}

    with pytest.raises(TrainingError, match="pip install tensorboard"):
        vitrail.train(config, tmp_path / "run")


def test_data_with_errors_is_refused_before_anything_is_written_and_warnings_are_said(data, tmp_path):
    with (data / "train.jsonl").open("a") as stream:
        stream.write((data / "validation.jsonl").read_text().splitlines()[0] + "\n")
    with pytest.warns(DataWarning, match="text-in-two-splits"):
        vitrail.train(configuration(data, epochs=1), tmp_path / "warned")

    (data / "validation.jsonl").write_text(json.dumps({"text": "x", "label": "unheard of"}) + "\n")
    with pytest.raises(TrainingError, match="unseen-label"):
        vitrail.train(configuration(data, epochs=1), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_the_command_line_trains_and_says_where_the_model_is(data, tmp_path):
    from typer.testing import CliRunner

    from vitrail.cli.main import app

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configuration(data)))
    done = CliRunner().invoke(
        app, ["train", str(tmp_path / "config.yaml"), "training.epochs=1", "-o", str(tmp_path / "run")]
    )

    assert done.exit_code == 0, done.output
    assert "best accuracy" in done.stderr
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_the_test_data_is_scored_once_by_the_weights_that_were_kept_and_the_run_has_a_report(
    data, tmp_path, monkeypatch
):
    monkeypatch.setenv("ROWS", str(data))
    config = configuration(data, epochs=3)
    config["data"] = {"train": "$ROWS/train.jsonl", "validation": 0.25, "test": "$ROWS/validation.jsonl"}
    config["logging"] = {"report": True}

    result = vitrail.train(config, tmp_path / "run")

    opened = vitrail.load(result.model, task="text-classification", device="cpu")
    rows = [json.loads(line) for line in (data / "validation.jsonl").read_text().splitlines()]
    found = [one.label for one in opened.predict([row["text"] for row in rows])]
    right = np.mean([label == row["label"] for label, row in zip(found, rows, strict=True)])
    assert result.test["accuracy"] == pytest.approx(right)
    report = (result.folder / "report.md").read_text()
    assert "majority" in report
    assert list(result.folder.glob("**/*.png"))


def test_a_variable_that_is_not_set_is_named(data, tmp_path):
    config = configuration(data)
    config["data"]["train"] = "$NOT_SET_ANYWHERE/train.jsonl"

    with pytest.raises(ValueError, match="NOT_SET_ANYWHERE is not set"):
        vitrail.train(config, tmp_path / "run")


def test_predictions_of_a_tagger_are_written_with_their_tags(tmp_path):
    lines = "".join(f"{name} B-PER\nsleeps O\n\n" for name in ("Ann", "Bob", "Cid", "Dee"))
    (tmp_path / "tags.conll").write_text(lines)
    config = configuration(tmp_path, epochs=1)
    config |= {"task": "token-classification", "data": {"train": str(tmp_path / "tags.conll"), "validation": 0.25}}
    config["model"]["tokenizer"] = {"kind": "characters"}

    result = vitrail.train(config, tmp_path / "run")

    (prediction,) = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    assert prediction["gold"] == ["B-PER", "O"]
    assert len(prediction["prediction"]["tags"]) == 2
