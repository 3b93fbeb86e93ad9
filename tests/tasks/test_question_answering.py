"""Answers in contexts: windows, targets, the best span, no answer, and SQuAD's measures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import vitrail
from tasks.references import padded
from vitrail.errors import InputError
from vitrail.tasks.answers import best_over, character_f1, exact_match, word_f1
from vitrail.tasks.question_answering import QuestionAnsweringOptions

CONTEXT = "The tower was finished in 1889 by Gustave Eiffel's company, and stands in Paris."
ROW = {"question": "Who built it?", "context": CONTEXT, "answers": [{"text": "Gustave Eiffel", "start": 34}]}
LONG = " ".join(f"word{number}" for number in range(120)) + " the end"
FAR = {"question": "where?", "context": LONG, "answers": [{"text": "word60 word61", "start": LONG.index("word60")}]}


@pytest.fixture
def reader(encoder: vitrail.Encoder) -> vitrail.Encoder:
    encoder.attach(encoder.new_task("question-answering", options=QuestionAnsweringOptions(stride=10)))
    return encoder


def shown(reader: vitrail.Encoder, ids: np.ndarray) -> str:
    return " ".join(reader.tokenizer.token(int(each)) for each in ids)


def test_the_target_of_every_window_is_the_answer_or_its_first_token(reader: vitrail.Encoder):
    near, far = reader.task.examples([ROW, FAR], reader.tokenizer, max_length=64)

    first, last = near.target.spans[0]
    assert shown(reader, near.sequences[0][first : last + 1]) == "gustave e iff el"
    assert reader.task.units(far) == len(far.sequences) > 5
    holding = [bool(span.any()) for span in far.target.spans]
    assert 1 <= sum(holding) <= 2
    for sequence, (first, last), there in zip(far.sequences, far.target.spans, holding, strict=True):
        assert len(sequence) <= 64
        assert not there or shown(reader, sequence[first : last + 1]).replace(" ", "") == "word60word61"


def test_windows_hold_the_question_and_cover_the_context(reader: vitrail.Encoder):
    example = reader.task.examples([FAR], reader.tokenizer, max_length=48)[0]
    place = example.place
    types = example.token_type_ids

    assert {tuple(sequence[: place.leading]) for sequence in example.sequences} == {
        tuple(example.sequences[0][: place.leading])
    }
    assert place.windows[0][0] == 0
    assert place.windows[-1][1] == len(place.offsets)
    assert all(before[1] - after[0] == 10 for before, after in zip(place.windows, place.windows[1:], strict=False))
    assert all(part[: place.leading].max() == 0 and part[place.leading :].min() == 1 for part in types)
    for sequence, part in zip(example.sequences, types, strict=True):
        assert len(sequence) == len(part)


def test_one_window_is_what_the_tokenizer_makes_of_the_pair(reader: vitrail.Encoder):
    example = reader.task.examples([ROW], reader.tokenizer, max_length=64)[0]
    batch = reader.tokenizer.encode([(ROW["question"], CONTEXT)], max_length=64)

    np.testing.assert_array_equal(example.sequences[0], batch.ids)
    np.testing.assert_array_equal(example.token_type_ids[0], batch.token_type_ids)


def test_the_loss_is_that_of_the_reference_times_the_windows(bert: Callable[..., Any]):
    model, folder = bert(transformers.AutoModelForQuestionAnswering)
    encoder = vitrail.load(folder, task="question-answering", device="cpu")
    examples = encoder.task.examples([ROW, ROW | {"answers": []}], encoder.tokenizer, max_length=64)
    spans = torch.from_numpy(np.concatenate([example.target.spans for example in examples]))

    theirs = model(**padded(examples), start_positions=spans[:, 0], end_positions=spans[:, 1])
    loss = encoder.task.loss(encoder.task_outputs(examples), examples)
    loss.backward()
    theirs.loss.backward()

    torch.testing.assert_close(loss, theirs.loss * 2, rtol=1e-5, atol=1e-5)
    gradient = encoder.task.head.output.weight.grad / 2
    torch.testing.assert_close(gradient, model.qa_outputs.weight.grad, rtol=1e-4, atol=1e-5)


def test_the_loss_of_windows_of_any_length_is_the_sum_of_theirs(reader: vitrail.Encoder):
    examples = reader.task.examples([ROW, FAR], reader.tokenizer, max_length=64)

    together = reader.task.loss(reader.task_outputs(examples), examples)
    apart = sum(reader.task.loss(reader.task_outputs([each]), [each]) for each in examples)

    torch.testing.assert_close(together, apart)


def test_the_answer_is_the_best_span_of_all_windows(reader: vitrail.Encoder):
    example = reader.task.examples([FAR], reader.tokenizer, max_length=48)[0]
    most = reader.task.options.max_answer_length
    logits = torch.randn(example.tokens, 2, generator=torch.Generator().manual_seed(3))

    result = reader.task.decode(logits, [example])[0]

    best, start = (-np.inf, None), 0
    for sequence, (low, high) in zip(example.sequences, example.place.windows, strict=True):
        window = logits[start + example.place.leading :][: high - low].double().numpy()
        start += len(sequence)
        for first in range(high - low):
            for last in range(first, min(first + most, high - low)):
                characters = (example.place.offsets[low + first, 0], example.place.offsets[low + last, 1])
                best = max(best, (window[first, 0] + window[last, 1], characters))
    assert (result.start, result.end) == best[1]
    assert result.text == LONG[result.start : result.end]
    assert 0 < result.score < 1


def test_no_answer_wins_by_more_than_the_threshold_and_only_where_allowed(reader: vitrail.Encoder):
    example = reader.task.examples([ROW], reader.tokenizer, max_length=64)[0]
    logits = torch.zeros(example.tokens, 2)
    logits[0] = 2.0
    logits[example.target.spans[0, 0], 0] = logits[example.target.spans[0, 1], 1] = 1.0

    for options, text in (
        ({}, "Gustave Eiffel"),
        ({"no_answer": True}, ""),
        ({"no_answer": True, "threshold": 2.5}, "Gustave Eiffel"),
    ):
        reader.task.options = replace(reader.task.options, **options)
        result = reader.task.decode(logits, [example])[0]
        assert (result.text, result.no_answer_margin) == (text, pytest.approx(2.0))


def test_an_empty_context_has_no_answer(reader: vitrail.Encoder):
    assert reader.predict({"question": "who?", "context": " "}).text == ""


def test_a_right_answer_counts_fully(reader: vitrail.Encoder):
    examples = reader.task.examples([ROW, ROW | {"answers": []}], reader.tokenizer, max_length=64)
    results = reader.task.decode(torch.zeros(sum(example.tokens for example in examples), 2), examples)
    right = replace(results[0], text="the gustave eiffel!")

    assert reader.task.score([right, replace(right, text="")], examples) == {
        "f1": 1.0,
        "exact_match": 1.0,
        "character_f1": 1.0,
    }


@pytest.mark.parametrize(
    ("found", "right", "words", "exact", "characters"),
    [
        ("The Cat sat.", "cat sat", 1.0, 1.0, 1.0),
        ("a cat", "the cat sat on an old mat", 2 * 1 / 6, 0.0, 2 * 1 / 6),
        ("", "", 1.0, 1.0, 1.0),
        ("", "cat", 0.0, 0.0, 0.0),
        ("cat cat", "cat", 2 / 3, 0.0, 2 / 3),
        ("北京大学", "北京", 0.0, 0.0, 2 * 2 / 6),
        ("在2008年", "2008年", 0.0, 0.0, 2 * 2 / 5),
    ],
)
def test_measures_by_hand(found: str, right: str, words: float, exact: float, characters: float):
    assert word_f1(found, right) == pytest.approx(words)
    assert exact_match(found, right) == exact
    assert character_f1(found, right) == pytest.approx(characters)
    assert best_over(word_f1, found, ["zzz", right]) == pytest.approx(words)


def test_an_answer_that_is_not_in_its_context_is_named(reader: vitrail.Encoder):
    wrong = ROW | {"answers": [{"text": "Gustave Eiffel", "start": 33}]}
    with pytest.raises(InputError, match=r"row 9: .* does not stand at character 33"):
        reader.task.examples([wrong], reader.tokenizer, max_length=64, first_row=9)
    second = ROW | {"answers": [*wrong["answers"], {"text": "Paris", "start": 74}]}
    assert reader.task.examples([second], reader.tokenizer, max_length=64)[0].target.spans.any()
