"""Dropout with cheap coin tosses, and the kernel that has its own way back."""

import pytest
import torch
from torch import Tensor

from strategies import numbers
from vitrail.layers.dropout import Dropout, kept
from vitrail.layers.kernels import fused, reference
from vitrail.layers.kernels.recorded import _layout
from vitrail.layers.packing import Packing


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_a_value_is_dropped_with_the_probability_and_the_rest_scaled_to_keep_the_mean(probability: float):
    torch.manual_seed(0)
    factors = kept(200_001, probability, like=torch.empty(0))

    assert (factors == 0).float().mean() == pytest.approx(probability, abs=0.004)
    assert factors.mean() == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(factors.max(), torch.tensor(1 / (1 - probability)), rtol=1e-4, atol=0)


def test_neighbouring_values_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (kept(400_000, 0.5, like=torch.empty(0)) == 0).float()

    for shift in (1, 2, 3, 4, 5):
        assert (dropped[shift:] * dropped[:-shift]).mean() == pytest.approx(0.25, abs=0.004)


def test_the_gradient_is_dropped_where_the_value_was():
    torch.manual_seed(0)
    values = torch.ones(40, 25, requires_grad=True)
    dropped = Dropout(0.3).train()(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)

    assert torch.equal(gradient, dropped.detach())


@pytest.mark.parametrize("lengths", [[4, 3, 3, 1], [2, 0, 5]])
def test_gradients_through_dropped_weights_are_those_of_the_same_draw(lengths: list[int]):
    packing = Packing.of(lengths)
    tensors = tuple(numbers(packing.num_tokens, 2, 3, seed=seed).requires_grad_() for seed in (1, 2, 3))

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(7)
        return fused(query, key, value, packing, scale=0.4, dropout=0.4)

    assert torch.autograd.gradcheck(attend, tensors)


def test_sequences_of_like_length_share_a_rectangle_and_others_have_their_own():
    layout = _layout((100, 3, 96, 0, 2), 2)
    stream = numbers(201, 2, 3, seed=1)

    assert layout.shapes == ((4, 100), (4, 3))
    assert torch.equal(layout.back(layout.into(stream), stream), stream)
    assert [mask is not None and int(mask.isinf().sum()) for mask in layout.masks] == [2 * 4, 2 * 1]


@pytest.mark.parametrize("lengths", [(100, 3, 96, 0, 2), (1, 7, 7, 4), (5,), (0, 0)])
def test_filled_up_or_not_the_context_and_the_gradients_are_those_of_the_reference(lengths: tuple[int, ...]):
    packing = Packing.of(lengths)
    tensors = tuple(numbers(packing.num_tokens, 2, 3, seed=seed).requires_grad_() for seed in (1, 2, 3))
    outer = numbers(packing.num_tokens, 2, 3, seed=4)

    found, wanted = (kernel(*tensors, packing, scale=0.4) for kernel in (fused, reference))

    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, tensors, outer), torch.autograd.grad(wanted, tensors, outer))


def test_sequences_too_long_to_keep_their_weights_take_the_other_way_with_the_same_gradients():
    packing = Packing.of([513, 2])
    tensors = tuple(numbers(packing.num_tokens, 1, 2, seed=seed).requires_grad_() for seed in (1, 2, 3))
    alone = tuple(tensor.detach()[513:].requires_grad_() for tensor in tensors)

    together = torch.autograd.grad(fused(*tensors, packing, scale=0.4).sum(), tensors)
    apart = torch.autograd.grad(fused(*alone, Packing.of([2]), scale=0.4).sum(), alone)

    torch.testing.assert_close(tuple(each[513:] for each in together), apart)
