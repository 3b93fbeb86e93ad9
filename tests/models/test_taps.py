"""The named points of a running model: there, of the shape their name says, and able to change what comes out."""

from dataclasses import replace

import pytest
import torch

from vitrail.layers.packing import Packing
from vitrail.layers.taps import LAYER_POINTS, Tap
from vitrail.models import EncoderModel, EncoderSpec

IDS, PACKING = torch.tensor([3, 1, 4, 1, 5]), Packing.of([2, 3])
HIDDEN, HEADS, HEAD_DIM, WIDE = 8, 2, 4, 6

SHAPES = {
    "attention.query": (5, HEADS * HEAD_DIM),
    "attention.key": (5, HEADS * HEAD_DIM),
    "attention.value": (5, HEADS * HEAD_DIM),
    "attention.context": (5, HEADS * HEAD_DIM),
    "attention.output": (5, HIDDEN),
    "feed_forward.up": (5, WIDE),
    "feed_forward.activation": (5, WIDE),
    "feed_forward.down": (5, HIDDEN),
    "output": (5, HIDDEN),
}
POINTS = ["embeddings", *(f"layers.{layer}.{point}" for layer in range(2) for point in LAYER_POINTS)]


def built(gated: bool = False) -> EncoderModel:
    spec = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=6)
    model = EncoderModel(replace(spec, activation="gelu", gated=gated, initializer_range=0.3)).eval()
    model.initialize(seed=0)
    return model


def test_every_point_has_a_shape_here():
    assert set(SHAPES) == set(LAYER_POINTS)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_a_point_is_a_module_whose_output_has_the_documented_shape(point: str, gated: bool):
    model, seen = built(gated), []
    model.get_submodule(point).register_forward_hook(lambda module, given, output: seen.append(tuple(output.shape)))

    model(IDS, PACKING)

    assert seen == [SHAPES.get(point.split(".", 2)[-1], (5, HIDDEN))]


@pytest.mark.parametrize("point", POINTS)
def test_replacing_the_value_of_a_point_changes_the_output_and_removing_the_hook_restores_it(point: str):
    model = built()
    before = model(IDS, PACKING)

    # another factor for every dimension: a normalisation would undo one for all
    factors = torch.linspace(-1, 2, model.get_submodule(point)(*_inputs(model, point)).shape[-1])
    handle = model.get_submodule(point).register_forward_hook(lambda module, given, output: output * factors)
    changed = model(IDS, PACKING)
    handle.remove()

    assert not torch.allclose(changed, before)
    assert torch.equal(model(IDS, PACKING), before)


def _inputs(model: EncoderModel, point: str) -> tuple:
    """What the model gives the module at `point`."""
    seen: list[tuple] = []
    handle = model.get_submodule(point).register_forward_pre_hook(lambda module, given: seen.append(given))
    model(IDS, PACKING)
    handle.remove()
    return seen[0]


def test_the_context_is_what_the_output_projection_reads_and_the_layers_output_what_the_next_layer_reads():
    model, seen = built(), {}
    for name in ("layers.0.attention.context", "layers.0.output"):
        model.get_submodule(name).register_forward_hook(lambda m, given, output, name=name: seen.update({name: output}))
    for name in ("layers.0.attention.output", "layers.1"):
        model.get_submodule(name).register_forward_pre_hook(lambda m, given, name=name: seen.update({name: given[0]}))

    model(IDS, PACKING)

    assert seen["layers.0.attention.context"] is seen["layers.0.attention.output"]
    assert seen["layers.0.output"] is seen["layers.1"]


def test_a_tap_holds_nothing_and_copies_nothing():
    tap, value = Tap(), torch.ones(2, 3)

    assert tap(value) is value
    assert not tap.state_dict()
    assert not any(isinstance(module, Tap) and list(module.buffers()) for module in built().modules())


def test_nobody_listens_in_a_new_model():
    for module in built().modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
