"""Differences of a model with itself are none; of one with a changed part, they name it."""

import numpy as np
import pytest
import torch

from vitrail.compression import prune
from vitrail.explanation.layers.model_difference import difference

TEXTS = ["The cat sat on the mat.", "A long story of two good friends at sea", "Numbers: 1, 2, 3 and so on"] * 2
LABELS = {"labels": ("no", "yes", "maybe")}


def test_a_model_and_itself_have_no_difference(with_task):
    encoder = with_task("text-classification", **LABELS)
    found = difference(encoder, encoder, TEXTS)

    assert set(found.weights.values()) == {0.0}
    assert found.reshaped == ()
    assert found.flips == ()
    np.testing.assert_allclose(found.cosines, 1, atol=1e-9)
    np.testing.assert_allclose(found.attention, 0, atol=1e-9)
    np.testing.assert_allclose(found.similarity.matrix.diagonal(), 1, atol=1e-9)


def test_the_part_that_changed_is_the_one_that_is_named(with_task):
    before, after = (with_task("text-classification", **LABELS) for _ in range(2))
    with torch.no_grad():
        after.model.layers[1].attention.query.weight.mul_(3)
        after.need_task().head.output.bias.copy_(torch.tensor([0.0, 0.0, 50.0]))
    found = difference(before, after, TEXTS)
    layer = before.model.layers[1]
    norm = sum(float(value.detach().double().square().sum()) for value in layer.parameters()) ** 0.5
    moved = float((2 * layer.attention.query.weight).detach().double().norm())

    assert {name for name, change in found.weights.items() if change} == {"layers.1", "task"}
    assert found.weights["layers.1"] == pytest.approx(moved / norm)
    assert found.attention[0].max() == 0
    assert found.attention[1].min() > 0
    assert [flip.after for flip in found.flips] == ["maybe"] * len(found.flips)
    assert len(found.flips) == sum(each.label != "maybe" for each in before.predict(TEXTS))
    assert "predictions changed" in found.table()


def test_models_of_other_shapes_are_compared_in_what_they_share(with_task):
    narrow = difference(with_task(None), with_task("text-classification", **LABELS), TEXTS)

    assert narrow.flips is None
    assert "task" in narrow.reshaped


def test_layers_of_models_with_other_numbers_of_them_are_not_compared_one_by_one(with_task):
    before = with_task(None)
    found = difference(before, prune(before, layers=[0]), TEXTS)

    assert found.attention is None
    assert {"layers.0", "layers.1"} <= set(found.reshaped)
    assert found.weights["embeddings"] == 0
    assert found.similarity.matrix.shape == (3, 2)
    assert "layers.1: not to be compared" in found.table()


def test_what_was_zero_and_is_no_more_changed_by_more_than_any_factor(with_task):
    before, after = with_task("text-classification", **LABELS), with_task("text-classification", **LABELS)
    with torch.no_grad():
        for encoder, value in ((before, 0.0), (after, 1.0)):
            for weight in encoder.need_task().parameters():
                weight.fill_(value)

    assert difference(before, after, TEXTS).weights["task"] == float("inf")


def test_attention_moves_as_far_as_its_maps_are_apart(with_task):
    before, after = with_task(None), with_task(None)
    with torch.no_grad():
        after.model.layers[0].attention.query.weight.mul_(5)
    found = difference(before, after, TEXTS[:3])
    apart, queries = np.zeros((2, 3)), 0
    for text in TEXTS[:3]:
        one, two = before.trace(text), after.trace(text)
        queries += len(one.reading)
        apart += [
            [float((one.attention(i, h) - two.attention(i, h)).abs().sum()) / 2 for h in range(3)] for i in (0, 1)
        ]

    np.testing.assert_allclose(found.attention, apart / queries, atol=1e-6)


def test_a_picture_has_a_bar_for_every_part_and_a_field_for_every_head(with_task, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("vitrail.pictures.changes.save", lambda figure, path: drawn.append(figure) or path)
    before, after = with_task(None), with_task("text-classification", **LABELS)
    with torch.no_grad():
        after.model.layers[1].attention.query.weight.mul_(3)
    found = difference(before, after, TEXTS)

    found.picture(tmp_path / "a.png")
    difference(before, prune(before, layers=[0]), TEXTS).picture(tmp_path / "b.png")

    bars, layers, heads = drawn[0].axes

    assert [label.get_text() for label in bars.get_yticklabels()] == [*found.weights, *found.reshaped]
    assert [bar.get_width() for bar in bars.patches] == [change**0.5 for change in found.weights.values()]
    words = [text.get_text().strip() for text in bars.texts]
    assert words == [*(f"{change:.4f}" for change in found.weights.values()), "not to be compared"]
    np.testing.assert_array_equal(layers.images[0].get_array(), found.similarity.matrix)
    np.testing.assert_array_equal(heads.images[0].get_array(), found.attention)
    assert len(drawn[1].axes) == 2
