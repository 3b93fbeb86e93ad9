"""Text classification: losses and results as the reference library computes them, metrics as scikit-learn does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sklearn import metrics as sklearn_metrics

import vitrail
from tasks.references import padded
from vitrail.errors import InputError, TruncationWarning
from vitrail.tasks import labels_of
from vitrail.tasks.metrics import macro_f1, matthews, multi_label_f1
from vitrail.tasks.text_classification import Classification, TextClassificationOptions

ROWS = [
    {"text": "a fine film", "label": "good"},
    {"text": "dull, and far too long for what it has to say", "label": "bad"},
    {"text": "so so", "label": "middling"},
]
AUTO = transformers.AutoModelForSequenceClassification
LABELS = {"id2label": {0: "bad", 1: "good", 2: "middling"}, "label2id": {"bad": 0, "good": 1, "middling": 2}}


def test_labels_stand_in_an_order_that_does_not_depend_on_the_rows():
    numbers = [{"label": label} for label in ("10", "9", "-1")]

    for rows in (ROWS, ROWS[::-1]):
        assert labels_of("text-classification", rows) == tuple(LABELS["label2id"])
    assert labels_of("text-classification", numbers) == ("-1", "9", "10")
    assert labels_of("text-classification", [{"label": ["b", "a"]}, {"label": []}, {"label": ["c"]}]) == ("a", "b", "c")


@pytest.mark.parametrize("pairs", [False, True])
def test_loss_gradients_and_probabilities_are_those_of_the_reference(bert: Callable[..., Any], pairs: bool):
    model, folder = bert(AUTO, **LABELS)
    encoder = vitrail.load(folder, task="text-classification", device="cpu")
    rows = [row | {"text_pair": "and a second text"} for row in ROWS] if pairs else ROWS
    examples = encoder.task.examples(rows, encoder.tokenizer, max_length=encoder.max_length)

    loss = encoder.task.loss(encoder.task_outputs(examples), examples)
    loss.backward()
    theirs = model(**padded(examples), labels=torch.tensor([1, 0, 2]))
    (theirs.loss * 3).backward()

    torch.testing.assert_close(loss, theirs.loss * 3)
    for ours, named in (("dense", "bert.pooler.dense"), ("output", "classifier")):
        gradient = encoder.task.head.get_submodule(ours).weight.grad
        torch.testing.assert_close(gradient, model.get_submodule(named).weight.grad, rtol=1e-4, atol=1e-5)
    found = encoder.predict([tuple(row.values())[::2] if pairs else row["text"] for row in rows])
    expected = dict(zip(encoder.task.labels, theirs.logits.softmax(-1)[0].tolist(), strict=True))
    assert found[0].scores == pytest.approx(expected, abs=1e-5)
    assert sum(encoder.task.units(example) for example in examples) == 3


def test_several_labels_are_learned_by_binary_cross_entropy(bert: Callable[..., Any]):
    model, folder = bert(AUTO, problem_type="multi_label_classification", **LABELS)
    encoder = vitrail.load(folder, task="text-classification", device="cpu")
    rows = [{"text": "fine", "label": ["good", "middling"]}, {"text": "nothing", "label": []}]
    examples = encoder.task.examples(rows, encoder.tokenizer, max_length=64)
    outputs = encoder.task_outputs(examples)

    theirs = model(**padded(examples), labels=torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))

    assert encoder.task.options.multi_label
    torch.testing.assert_close(encoder.task.loss(outputs, examples), theirs.loss * 2)
    for result, scores in zip(encoder.task.decode(outputs, examples), theirs.logits.sigmoid(), strict=True):
        assert set(result.labels) == {encoder.task.labels[place] for place in torch.where(scores >= 0.5)[0]}


def test_the_loss_of_a_window_is_the_sum_of_those_of_its_rows(encoder: vitrail.Encoder):
    encoder.attach(encoder.new_task("text-classification", labels=("bad", "good", "middling")))
    examples = encoder.task.examples(ROWS, encoder.tokenizer, max_length=64)

    together = encoder.task.loss(encoder.task_outputs(examples), examples)
    apart = sum(encoder.task.loss(encoder.task_outputs([each]), [each]) for each in examples)

    torch.testing.assert_close(together, apart)


def test_a_temperature_flattens_the_probabilities_and_keeps_the_order(encoder: vitrail.Encoder):
    options = TextClassificationOptions(temperature=3.0, pooling="mean")
    encoder.attach(encoder.new_task("text-classification", labels=("a", "b"), options=options))
    logits = torch.tensor([[0.0, 3.0]])

    result = encoder.task.decode(logits, [])[0]

    assert result == Classification(label="b", score=result.score, scores=result.scores)
    assert result.score == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert encoder.task.head.spec.pooling == "mean"
    assert encoder.task.head.dense is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a", "label": "superb"}, "row 7: has the label 'superb', which is none of 'bad', 'good'"),
        ({"text": None, "label": "good"}, "row 7: has nothing for 'text'; it has 'text', 'label'"),
        ({"text": 3.5, "label": "good"}, "row 7: 'text' is float 3.5, not str"),
        ({"text": "half \ud800", "label": "good"}, "row 7: holds a lone surrogate"),
        ({"text": "a", "label": ["good"]}, "row 7: has a list of labels"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(encoder: vitrail.Encoder, row: dict[str, Any], message: str):
    task = encoder.new_task("text-classification", labels=("bad", "good"))

    with pytest.raises(InputError, match=message):
        task.examples([{"text": "fine", "label": "good"}, row], encoder.tokenizer, max_length=64, first_row=6)


def test_texts_that_were_cut_are_counted(encoder: vitrail.Encoder):
    task = encoder.new_task("text-classification", labels=("bad", "good"))

    with pytest.warns(TruncationWarning, match="1 of 2 texts were cut to 8 tokens"):
        task.examples([{"text": "word " * 20}, {"text": "b"}], encoder.tokenizer, max_length=8)


def test_options_that_contradict_each_other_are_refused(encoder: vitrail.Encoder):
    with pytest.raises(ValueError, match="label_smoothing has no meaning"):
        TextClassificationOptions(multi_label=True, label_smoothing=0.1)
    with pytest.raises(ValueError, match="two labels or more"):
        encoder.new_task("text-classification", labels=("one",))


def test_metrics_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    found, wanted = generator.integers(0, 4, 60), generator.integers(0, 5, 60)
    several, right = generator.random((40, 3)) < 0.4, generator.random((40, 3)) < 0.4

    assert macro_f1(found, wanted) == pytest.approx(sklearn_metrics.f1_score(wanted, found, average="macro"))
    assert matthews(found, wanted) == pytest.approx(sklearn_metrics.matthews_corrcoef(wanted, found))
    assert matthews(found, found * 0) == 0
    expected = [sklearn_metrics.f1_score(right, several, average=kind) for kind in ("micro", "macro")]
    assert multi_label_f1(several, right) == pytest.approx(expected)


def test_every_metric_is_named_beforehand(encoder: vitrail.Encoder):
    for several in (False, True):
        options = TextClassificationOptions(multi_label=several)
        encoder.attach(encoder.new_task("text-classification", labels=("bad", "good", "middling"), options=options))
        rows = [row | {"label": [row["label"]]} for row in ROWS] if several else ROWS
        examples = encoder.task.examples(rows, encoder.tokenizer, max_length=64)

        scores = encoder.task.score(encoder.task.decode(encoder.task_outputs(examples), examples), examples)

        assert tuple(scores) == encoder.task.metric_names
