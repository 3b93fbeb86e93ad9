"""Probes find what was planted in a layer, and controls say what is learnt by heart."""

import numpy as np
import pytest
import torch

from vitrail.errors import ExplanationError
from vitrail.explanation.layers import probing
from vitrail.explanation.layers.probing import probe
from vitrail.intervals import bootstrap_mean
from vitrail.tracing import run

WORDS = ["sea", "ship", "moon", "tree", "book", "door", "cat", "wind"]


def texts(count):
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, size=6)) for _ in range(count)]


@pytest.fixture
def planted(with_task, monkeypatch):
    """Layer 0's output tells the label of every token; the other layers know nothing of it."""
    labels = iter(np.random.default_rng(1).integers(2, size=10_000).tolist())

    def planting(encoder, readings, *, read):
        seen = run(encoder, readings, read=read)
        own = [next(labels) for _ in readings[0].words]
        for name in read:
            seen.points[name] = torch.randn(len(readings[0]), 12)
        for word, label in zip(readings[0].words, own, strict=True):
            seen.points["layers.0.output"][list(word.tokens), 5] = 6.0 * label - 3.0
        return seen

    monkeypatch.setattr(probing, "run", planting)
    return with_task(None)


def test_a_feature_planted_in_one_layer_is_found_there_alone(planted):
    labels = [["xy"[label] for label in row] for row in _same_draws(60)]
    found = {each.layer: each for each in probe(planted, texts(60), labels).layers}

    assert found["layers.0.output"].accuracy.mean > 0.97
    assert found["layers.0.output"].selectivity.mean > 0.3
    for other in ("embeddings", "layers.1.output"):
        assert found[other].accuracy.mean < 0.7


def _same_draws(count):
    labels = iter(np.random.default_rng(1).integers(2, size=10_000).tolist())
    return [[next(labels) for _ in text.split()] for text in texts(count)]


def test_labels_given_to_word_types_are_learnt_by_heart_so_nothing_is_selective(with_task):
    types = {word: "ab"[number % 2] for number, word in enumerate(WORDS)}
    found = probe(with_task(None), texts(60), [[types[word] for word in text.split()] for text in texts(60)])

    assert found.layers[0].accuracy.mean > 0.95
    assert found.layers[0].control.mean > 0.9
    assert abs(found.layers[0].selectivity.mean) < 0.1
    assert found.unit == "word"
    assert "selectivity" in found.table()


def test_texts_have_labels_too_and_those_of_one_text_are_not_on_both_sides(with_task):
    rows = texts(40)
    found = probe(with_task(None), rows, ["sea" if "sea" in text.split() else "land" for text in rows])

    assert found.unit == "text"
    assert found.tested == 12
    assert found.layers[0].accuracy.low <= found.layers[0].accuracy.mean <= found.layers[0].accuracy.high


def test_numbers_of_numpy_are_labels_of_texts(with_task):
    found = probe(with_task(None), texts(20), np.arange(20) % 2)

    assert found.unit == "text"


def test_words_of_one_text_that_go_together_make_the_interval_as_wide_as_texts_do():
    values = np.repeat([1.0, 0.0, 1.0, 0.0, 1.0], 50)
    found = bootstrap_mean(values.tolist(), texts=np.repeat(np.arange(5), 50).tolist(), seed=0)

    assert found.mean == 0.6
    assert found.high - found.low > 0.5


def test_labels_that_do_not_fit_are_refused(with_task):
    with pytest.raises(ValueError, match="1 labels for 12 texts"):
        probe(with_task(None), texts(12), ["a"])
    with pytest.raises(ValueError, match="text 0 has 6 words"):
        probe(with_task(None), texts(12), [["a", "b"]] * 12)
    with pytest.raises(ExplanationError, match="too few"):
        probe(with_task(None), texts(2), ["a", "b"])
    with pytest.raises(ExplanationError, match="one label only"):
        probe(with_task(None), texts(12), ["a"] * 12)
