"""Hidden tokens: what is hidden and how, the loss of the reference library, candidates, the tied output."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import vitrail
from tasks.references import padded
from vitrail.errors import InputError
from vitrail.tasks.fill_mask import FillMaskOptions

TEXTS = ["unbelievably long words shatter into pieces", "the cat sat on the mat and looked at the rain"]
ROWS = [{"text": text} for text in TEXTS]


@pytest.fixture
def guesser(encoder: vitrail.Encoder) -> vitrail.Encoder:
    encoder.attach(encoder.new_task("fill-mask"))
    return encoder


def drawn(encoder: vitrail.Encoder, *, seed: int = 0, **options: Any) -> list[Any]:
    encoder.task.options = FillMaskOptions(**options)
    generator = np.random.default_rng(seed)
    examples = encoder.task.examples(ROWS, encoder.tokenizer, max_length=64)
    return [encoder.task.draw(example, generator) for example in examples]


def test_a_draw_is_a_function_of_its_generator_and_leaves_the_example_as_it_was(guesser: vitrail.Encoder):
    examples = guesser.task.examples(ROWS, guesser.tokenizer, max_length=64)
    before = copy.deepcopy([example.sequences[0] for example in examples])
    one, same, other = (drawn(guesser, seed=seed, rate=0.5)[1] for seed in (1, 1, 2))

    np.testing.assert_array_equal(one.sequences[0], same.sequences[0])
    assert not np.array_equal(one.place.masked, other.place.masked)
    for example, ids in zip(examples, before, strict=True):
        np.testing.assert_array_equal(example.sequences[0], ids)


def test_special_tokens_stay_and_the_targets_are_what_was_hidden(guesser: vitrail.Encoder):
    plain = guesser.task.examples(ROWS, guesser.tokenizer, max_length=64)
    for example, hidden in zip(plain, drawn(guesser, rate=1.0, always_mask=True), strict=True):
        ids = example.sequences[0]
        assert guesser.task.units(hidden) == len(ids) - 2
        np.testing.assert_array_equal(hidden.target, ids[1:-1])
        assert set(hidden.sequences[0][1:-1]) == {guesser.tokenizer.mask_id}
        assert hidden.sequences[0][[0, -1]].tolist() == ids[[0, -1]].tolist()


def test_of_the_hidden_four_fifths_are_masked_a_tenth_replaced_a_tenth_left(guesser: vitrail.Encoder):
    guesser.task.options = FillMaskOptions(rate=0.15)
    example = guesser.task.examples([{"text": "word " * 4000}], guesser.tokenizer, max_length=None)[0]
    example = guesser.task.draw(example, np.random.default_rng(0))
    now = example.sequences[0][example.place.masked]

    assert guesser.task.units(example) == 600
    masked, left = (now == guesser.tokenizer.mask_id).mean(), (now == example.target).mean()
    assert (masked, left, 1 - masked - left) == pytest.approx((0.8, 0.1, 0.1), abs=0.04)
    untouched = np.delete(example.sequences[0], example.place.masked)
    assert set(untouched[1:-1]) == {example.target[0]}


def test_whole_words_are_hidden_together(guesser: vitrail.Encoder):
    example = drawn(guesser, rate=0.4, whole_words=True)[0]
    words = example.place.words

    chosen = set(words[example.place.masked])

    assert len(chosen) == round(0.4 * len(set(words[words >= 0])))
    np.testing.assert_array_equal(example.place.masked, np.flatnonzero(np.isin(words, list(chosen))))
    assert max(np.bincount(words[words >= 0])) > 1


def test_the_loss_is_that_of_the_reference_times_the_hidden_tokens(bert: Callable[..., Any]):
    model, folder = bert(transformers.AutoModelForMaskedLM)
    encoder = vitrail.load(folder, task="fill-mask", device="cpu")
    examples = drawn(encoder, rate=0.4)
    labels = torch.full(padded(examples)["input_ids"].shape, -100)
    for row, example in enumerate(examples):
        labels[row, example.place.masked] = torch.from_numpy(example.target)

    theirs = model(**padded(examples), labels=labels)
    outputs = encoder.task_outputs(examples)
    loss = encoder.task.loss(outputs, examples)
    loss.backward()
    theirs.loss.backward()

    units = sum(encoder.task.units(example) for example in examples)
    assert outputs.shape == (units, encoder.spec.vocab_size)
    torch.testing.assert_close(loss, theirs.loss * units, rtol=1e-5, atol=1e-4)
    table = encoder.model.embeddings.tokens.weight.grad / units
    reference = model.bert.embeddings.word_embeddings.weight.grad
    assert (table - reference).abs().max() <= 1e-5 * reference.abs().max()
    scores = encoder.task.score(encoder.task.decode(outputs, examples), examples)
    assert scores["log_likelihood"] == pytest.approx(-theirs.loss.item(), rel=1e-5)


def test_masks_of_a_text_are_filled_in_turn(guesser: vitrail.Encoder):
    filled = guesser.predict(["the [MASK] of the [MASK] .", "no mask"])

    assert [len(each.masks) for each in filled] == [2, 0]
    scores = [candidate.score for candidate in filled[0].masks[0]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
    best = filled[0].masks[0][0]
    assert best.token == guesser.tokenizer.token(best.id)


def test_the_output_is_tied_to_the_tokens_of_the_encoder_and_to_those_of_its_copies(guesser: vitrail.Encoder):
    names = {name for name, _ in guesser.named_parameters() if name.startswith("task.")}
    twin = copy.deepcopy(guesser)

    assert "task.head.output.bias" in names
    assert "task.head.output.weight" not in names
    assert guesser.task.head.output.weight is guesser.model.embeddings.tokens.weight
    assert twin.task.head.output.weight is twin.model.embeddings.tokens.weight


def test_a_tie_survives_saving_in_our_own_format(guesser: vitrail.Encoder, tmp_path: Path):
    guesser.save(tmp_path)
    again = vitrail.load(tmp_path, task="fill-mask", device="cpu")
    text = "the [MASK] of the rain"

    ours, theirs = (each.predict(text).masks[0] for each in (again, guesser))
    assert [candidate.id for candidate in ours] == [candidate.id for candidate in theirs]
    assert [each.score for each in ours] == pytest.approx([each.score for each in theirs])
    assert again.task.head.output.weight is again.model.embeddings.tokens.weight


def test_what_was_not_drawn_cannot_be_learned_from(guesser: vitrail.Encoder):
    examples = guesser.task.examples(ROWS, guesser.tokenizer, max_length=64, first_row=3)

    with pytest.raises(InputError, match="row 3: has no hidden tokens to learn from; draw"):
        guesser.task.loss(guesser.task_outputs(examples), examples)
    assert replace(FillMaskOptions(), rate=1.0).rate == 1
    with pytest.raises(ValueError, match="rate must be above 0"):
        FillMaskOptions(rate=0.0)
