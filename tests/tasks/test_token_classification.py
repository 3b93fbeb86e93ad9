"""Labels of words: which token carries them, spans with their characters, long texts, F1 as seqeval counts it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import seqeval.metrics
import torch
import transformers

import vitrail
from tasks.references import padded
from vitrail.errors import InputError
from vitrail.tasks import labels_of
from vitrail.tasks.token_classification import TokenClassificationOptions

WORDS = ["Ada", "Lovelace", "met", "Charles", "Babbage", "in", "unbelievably", "foggy", "London", "."]
TAGS = ["B-PER", "I-PER", "O", "B-PER", "I-PER", "O", "O", "O", "B-LOC", "O"]
ROWS = [{"tokens": WORDS, "tags": TAGS}, {"tokens": ["Paris"], "tags": ["B-LOC"]}]
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


@pytest.fixture
def tagger(encoder: vitrail.Encoder) -> vitrail.Encoder:
    encoder.attach(encoder.new_task("token-classification", labels=labels_of("token-classification", ROWS)))
    return encoder


def certain(tagger: vitrail.Encoder, tags: list[str]) -> torch.Tensor:
    """Logits that choose these tags."""
    return 9 * torch.nn.functional.one_hot(torch.tensor([LABELS.index(tag) for tag in tags]), len(LABELS)).float()


def test_the_first_token_of_a_word_carries_its_label(tagger: vitrail.Encoder):
    example = tagger.task.examples(ROWS, tagger.tokenizer, max_length=64)[0]

    pieces = [tagger.tokenizer.token(int(example.sequences[0][place])) for place in example.place.tokens]

    assert tagger.task.labels == LABELS
    assert tagger.task.units(example) == len(WORDS)
    assert all(word.lower().startswith(piece) for word, piece in zip(WORDS, pieces, strict=True))
    assert len(example.sequences[0]) > len(WORDS) + 2
    assert [LABELS[label] for label in example.target.labels] == TAGS


def test_the_loss_is_that_of_the_reference_times_the_words(bert: Callable[..., Any]):
    named = {"id2label": dict(enumerate(LABELS)), "label2id": {label: index for index, label in enumerate(LABELS)}}
    model, folder = bert(transformers.AutoModelForTokenClassification, **named)
    encoder = vitrail.load(folder, task="token-classification", device="cpu")
    examples = encoder.task.examples(ROWS, encoder.tokenizer, max_length=64)
    targets = torch.full(padded(examples)["input_ids"].shape, -100)
    for row, example in enumerate(examples):
        targets[row, example.place.tokens] = torch.from_numpy(example.target.labels)

    theirs = model(**padded(examples), labels=targets)
    loss = encoder.task.loss(encoder.task_outputs(examples), examples)
    loss.backward()
    theirs.loss.backward()

    units = sum(encoder.task.units(example) for example in examples)
    assert units == 11
    torch.testing.assert_close(loss, theirs.loss * units, rtol=1e-5, atol=1e-4)
    gradient = encoder.task.head.output.weight.grad / units
    torch.testing.assert_close(gradient, model.classifier.weight.grad, rtol=1e-4, atol=1e-5)


def test_spans_have_their_words_and_their_characters(tagger: vitrail.Encoder):
    examples = tagger.task.examples(ROWS[:1], tagger.tokenizer, max_length=64)

    result = tagger.task.decode(certain(tagger, TAGS), examples)[0]

    assert [(span.label, span.text, span.first, span.last) for span in result.spans] == [
        ("PER", "Ada Lovelace", 0, 2),
        ("PER", "Charles Babbage", 3, 5),
        ("LOC", "London", 8, 9),
    ]
    assert all(result.text[span.start : span.end] == span.text for span in result.spans)
    assert all(0.99 < span.score <= 1 for span in result.spans)
    assert result.tags == tuple(TAGS)


def test_running_text_is_split_by_the_tokenizer_and_counted_in_code_points(tagger: vitrail.Encoder):
    text = "𝔘ber  Zürich,\tnaïve 東京"
    result = tagger.predict(text)

    assert [text[start:end] for start, end in result.words] == ["𝔘ber", "Zürich", ",", "naïve", "東", "京"]
    assert result.text == text


def test_words_without_a_token_are_outside(tagger: vitrail.Encoder):
    result = tagger.predict([["Ada", "", "\u200d", "Lovelace"]])[0]
    empty = tagger.predict([[], ""])

    assert result.tags[1:3] == ("O", "O")
    assert len(result.tags) == 4
    assert [(each.words, each.spans) for each in empty] == [((), ()), ((), ())]


def test_constrained_tags_break_no_rule_and_a_span_does_not_reach_over_a_word_without_a_token(tagger: vitrail.Encoder):
    options = TokenClassificationOptions(constrained=True)
    task = tagger.new_task("token-classification", labels=LABELS, options=options)
    probabilities = torch.full((3, len(LABELS)), 0.02)
    for word, (tag, probability) in enumerate([("O", 0.5), ("I-PER", 0.6), ("I-PER", 0.9)]):
        probabilities[word, LABELS.index(tag)] = probability
    probabilities[0, LABELS.index("B-PER")] = 0.4
    examples = task.examples(
        [{"tokens": words} for words in (WORDS[:3], ["a", "b", "", "c"])], tagger.tokenizer, max_length=64
    )

    whole, broken = task.decode(probabilities.log().repeat(2, 1), examples)

    assert whole.tags == ("B-PER", "I-PER", "I-PER")
    assert [(span.label, span.text) for span in whole.spans] == [("PER", " ".join(WORDS[:3]))]
    assert broken.tags[:3] == ("B-PER", "I-PER", "O")
    assert broken.tags[3] != "I-PER"
    share = probabilities / probabilities.sum(1, keepdim=True)
    mean = (share[0, LABELS.index("B-PER")] + share[1:, LABELS.index("I-PER")].sum()) / 3
    assert whole.spans[0].score == pytest.approx(float(mean), abs=1e-6)


def test_every_word_of_a_long_text_is_judged_once_with_context_on_both_sides(tagger: vitrail.Encoder):
    words = [WORDS[place % 9] for place in range(150)]
    example = tagger.task.examples([{"tokens": words}], tagger.tokenizer, max_length=32)[0]
    stream = np.concatenate(example.sequences)
    lengths = np.cumsum([0, *(len(sequence) for sequence in example.sequences)])

    pieces = [tagger.tokenizer.token(int(stream[place])) for place in example.place.tokens]

    assert len(example.sequences) > 5
    assert all(word.lower().startswith(piece) for word, piece in zip(words, pieces, strict=True))
    within = example.place.tokens - lengths[np.searchsorted(lengths, example.place.tokens, side="right") - 1]
    assert within[30:-30].min() >= 3
    assert within[30:-30].max() <= 28
    tagger.max_length = 32
    assert len(tagger.predict([words])[0].tags) == 150


def test_rows_in_another_scheme_are_learned_in_that_of_the_labels(tagger: vitrail.Encoder):
    loose = [tag.replace("B-", "I-") for tag in TAGS]
    closed = ["B-PER", "E-PER", "O", "B-PER", "E-PER", "O", "O", "O", "S-LOC", "O"]

    for tags in (TAGS, loose, closed):
        example = tagger.task.examples([{"tokens": WORDS, "tags": tags}], tagger.tokenizer, max_length=64)[0]
        assert example.target.tags == tuple(TAGS)


def test_metrics_are_those_of_seqeval(tagger: vitrail.Encoder):
    generator = np.random.default_rng(0)
    rows = [{"tokens": ["a"] * 9, "tags": [LABELS[k] for k in generator.integers(0, 5, 9)]} for _ in range(20)]
    examples = tagger.task.examples(rows, tagger.tokenizer, max_length=64)
    found = [[LABELS[k] for k in generator.integers(0, 5, 9)] for _ in rows]
    wanted = [list(example.target.tags) for example in examples]

    results = tagger.task.decode(certain(tagger, [tag for tags in found for tag in tags]), examples)
    scores = tagger.task.score(results, examples)

    expected = {
        "f1": seqeval.metrics.f1_score(wanted, found),
        "precision": seqeval.metrics.precision_score(wanted, found),
        "recall": seqeval.metrics.recall_score(wanted, found),
        "accuracy": seqeval.metrics.accuracy_score(wanted, found),
    }
    assert scores == pytest.approx(expected)
    assert tuple(scores) == tagger.task.metric_names


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "row 3: has 2 tokens and 1 tags"),
        ({"tokens": ["a", 5], "tags": ["O", "O"]}, "row 3: has the token 5, which is not a str"),
        ({"tokens": ["a"], "tags": ["B-ORG"]}, "row 3: has the label 'B-ORG', which is none of"),
        ({"tags": ["O"]}, "row 3: has nothing for 'text'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tagger: vitrail.Encoder, row: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        tagger.task.examples([row], tagger.tokenizer, max_length=64, first_row=3)
