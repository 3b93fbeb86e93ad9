"""Dropout in every place the papers have it: each place alone, in training alone."""

from dataclasses import fields, replace

import pytest
import torch

from vitrail.layers.dropout import Dropout
from vitrail.layers.packing import Packing
from vitrail.models import DisentangledPositions, DropoutSpec, EncoderModel, EncoderSpec

PLACES = [field.name for field in fields(DropoutSpec)]
IDS, PACKING = torch.tensor([3, 1, 4, 1, 5, 9, 2]), Packing.of([4, 3])
SPEC = replace(
    EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=5, dropout=0.0),
    positions=(
        DisentangledPositions(
            num_buckets=None,
            max_distance=4,
            content_to_position=True,
            position_to_content=True,
            shared_projections=True,
            normalized=False,
        ),
    ),
    initializer_range=0.5,
)


def built(**dropout: float) -> EncoderModel:
    model = EncoderModel(replace(SPEC, dropout=replace(DropoutSpec.none(), **dropout)))
    model.initialize(seed=0)
    return model


@pytest.mark.parametrize("place", PLACES)
def test_each_place_alone_changes_training_and_leaves_evaluation(place: str):
    torch.manual_seed(0)
    model, undropped = built(**{place: 0.9}), built()(IDS, PACKING)

    assert torch.equal(model.eval()(IDS, PACKING), undropped)
    assert not torch.allclose(model.train()(IDS, PACKING), undropped)
    assert not torch.equal(model(IDS, PACKING), model(IDS, PACKING))


def test_probability_0_in_training_equals_evaluation():
    model = built()

    assert torch.equal(model.train()(IDS, PACKING), model.eval()(IDS, PACKING))


@pytest.mark.parametrize("place", PLACES)
def test_the_same_seed_drops_the_same_values(place: str):
    model = built(**{place: 0.5}).train()

    torch.manual_seed(7)
    first = model(IDS, PACKING)
    torch.manual_seed(7)

    assert torch.equal(model(IDS, PACKING), first)


@pytest.mark.parametrize(
    ("place", "shapes"),
    [
        ("embeddings", [(7, 8)]),
        ("attention_output", [(7, 8)] * 2),
        ("activation", [(7, 5)] * 2),
        ("feed_forward_output", [(7, 8)] * 2),
        ("relation", [(8, 8)] * 2),
    ],
)
def test_a_place_drops_values_of_its_own_shape_once_a_layer(
    place: str, shapes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
):
    dropped = []

    def dropout(module: Dropout, values: torch.Tensor) -> torch.Tensor:
        if module.training and module.p == 0.25:
            dropped.append(tuple(values.shape))
        return values

    monkeypatch.setattr(Dropout, "forward", dropout)
    built(**{place: 0.25}).train()(IDS, PACKING)

    assert dropped == shapes


@pytest.mark.parametrize("place", PLACES)
def test_the_probability_of_a_place_is_that_of_the_spec(place: str):
    model = built(**{place: 0.25})
    layer = model.layers[1]

    probabilities = {
        "embeddings": model.embeddings.dropout.p,
        "attention_weights": layer.attention.dropout,
        "attention_output": layer.attention_dropout.p,
        "activation": layer.feed_forward.dropout.p,
        "feed_forward_output": layer.feed_forward_dropout.p,
        "relation": model.relation.dropout.p,
    }
    assert probabilities == {name: 0.25 if name == place else 0.0 for name in PLACES}
