"""The worked case of the article vitrail comes from: a text of 5 tokens, width 100, 4 heads of 25, feed-forward 400."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vitrail.layers.attention import SelfAttention
from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec

LENGTH, WIDTH, HEADS, HEAD_DIM, WIDE = 5, 100, 4, 25, 400


def model(num_heads: int = HEADS) -> EncoderModel:
    spec = EncoderSpec.original(
        vocab_size=50, hidden_size=WIDTH, num_layers=1, num_heads=num_heads, intermediate_size=WIDE
    )
    built = EncoderModel(spec)
    built.initialize(seed=0)
    return built.eval()


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(model: EncoderModel, length: int) -> tuple[int, int]:
    """(of the linear layers, of scores and mixing) in the model's one layer, counted by torch as it runs.

    Linear layers are `addmm` and a head's products are `bmm` there; two operations make one multiply-add. The reference
    kernel, because torch's counter does not know the fused one of the CPU.
    """
    model.use_kernel(reference)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.layers[0](torch.randn(length, WIDTH), Packing.of([length]))
    counts = counter.get_flop_counts()["Global"]
    assert set(counts) == {torch.ops.aten.addmm, torch.ops.aten.bmm}
    return counts[torch.ops.aten.addmm] // 2, counts[torch.ops.aten.bmm] // 2


def test_shapes_inside_a_layer():
    layer, seen = model().layers[0], {}
    attention = layer.attention

    def kernel(query, key, value, packing, **options):
        scores = options["scale"] * torch.einsum("ihd,jhd->hij", query, key)
        context = torch.einsum("hij,jhd->ihd", scores.softmax(-1), value)
        seen.update(query=query, key=key, value=value, scores=scores, context=context, scale=options["scale"])
        return context

    fused_output = layer(torch.ones(LENGTH, WIDTH), Packing.of([LENGTH]))
    attention.kernel = kernel
    output = layer(torch.ones(LENGTH, WIDTH), Packing.of([LENGTH]))

    assert [tuple(seen[name].shape) for name in ("query", "key", "value", "context")] == [(LENGTH, HEADS, HEAD_DIM)] * 4
    assert tuple(seen["scores"].shape) == (HEADS, LENGTH, LENGTH)
    assert tuple(output.shape) == (LENGTH, WIDTH)
    torch.testing.assert_close(output, fused_output)


def test_the_scale_is_exactly_one_fifth():
    assert model().layers[0].attention.scale == 0.2


def test_a_layer_has_121_300_parameters():
    layer = model().layers[0]

    assert parameters(layer.attention) == 4 * (100 * 100 + 100) == 40_400
    assert parameters(layer.feed_forward) == (100 * 400 + 400) + (400 * 100 + 100) == 80_500
    assert parameters(layer.attention_norm) + parameters(layer.feed_forward_norm) == 2 * 200
    assert parameters(layer) == 121_300
    assert parameters(model()) == 121_300 + 50 * 100


@pytest.mark.parametrize("num_heads", [1, 2, 4, 5, 10, 20])
def test_the_number_of_heads_changes_neither_parameters_nor_multiply_adds(num_heads: int):
    assert parameters(model(num_heads).layers[0]) == 121_300
    assert multiply_adds(model(num_heads), LENGTH) == multiply_adds(model(1), LENGTH)


def test_a_layer_takes_605_000_multiply_adds_of_which_5_000_are_scores_and_mixing():
    linear, scores_and_mixing = multiply_adds(model(), LENGTH)

    assert scores_and_mixing == 2 * LENGTH * LENGTH * WIDTH == 5_000
    assert linear + scores_and_mixing == 605_000


def test_at_length_600_scores_and_mixing_take_as_much_as_the_linear_layers():
    linear, scores_and_mixing = multiply_adds(model(), 600)

    assert linear == scores_and_mixing == 72_000_000


def test_without_head_dim_the_width_is_divided_among_the_heads():
    assert SelfAttention(WIDTH, HEADS).head_dim == HEAD_DIM
