"""Pooling: each mode against a loop over one sequence's tokens, and what becomes of its result."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import numbers, packings, some
from vitrail.layers.packing import Packing
from vitrail.layers.pooling import POOLING_MODES, Pooling, PoolingSpec, ProjectionSpec

MODES = sorted(POOLING_MODES)


def spec(*modes: str, normalize: bool = False, projections: tuple[ProjectionSpec, ...] = ()) -> PoolingSpec:
    return PoolingSpec(modes=modes, include_prompt=True, projections=projections, normalize=normalize)


def weighted(rows: list[list[float]], skipped: int) -> list[float]:
    weights = range(skipped + 1, len(rows) + 1)
    kept = zip(weights, rows[skipped:], strict=True)
    return [x / sum(weights) for x in map(sum, zip(*([w * x for x in row] for w, row in kept), strict=True))]


# What a mode makes of the rows of a sequence that has more than `skipped` of them.
LOOPS: dict[str, Callable[[list[list[float]], int], list[float]]] = {
    "cls": lambda rows, skipped: rows[skipped],
    "lasttoken": lambda rows, skipped: rows[-1],
    "max": lambda rows, skipped: [max(values) for values in zip(*rows[skipped:], strict=True)],
    "mean": lambda rows, skipped: [sum(x) / len(rows[skipped:]) for x in zip(*rows[skipped:], strict=True)],
    "mean_sqrt_len_tokens": lambda rows, skipped: [
        sum(x) / math.sqrt(len(rows[skipped:])) for x in zip(*rows[skipped:], strict=True)
    ],
    "weightedmean": weighted,
}


@some(100)
@given(packings(), st.sampled_from(MODES), st.integers(0, 3))
def test_a_mode_is_a_loop_over_the_tokens_after_the_prompt(packing: Packing, mode: str, skipped: int):
    hidden = numbers(packing.num_tokens, 3)

    pooled = Pooling(spec(mode))(hidden, packing, skipped)

    assert pooled.shape == (packing.num_sequences, 3)
    for rows, vector in zip(packing.split(hidden), pooled.tolist(), strict=True):
        if len(rows) > skipped:
            assert vector == pytest.approx(LOOPS[mode](rows.tolist(), skipped), rel=1e-9)
        elif len(rows) == 0 or mode not in ("cls", "lasttoken"):
            assert vector == [0.0, 0.0, 0.0]
        else:
            assert vector == rows[0 if mode == "cls" else -1].tolist()


def test_every_mode_has_a_loop_here():
    assert sorted(LOOPS) == MODES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_sequence_breaks_no_other_not_even_an_empty_one(mode: str, bad: float):
    hidden, packing = numbers(5, 3), Packing.of([0, 2, 0, 3, 0])
    healthy = Pooling(spec(mode, normalize=True))(hidden, packing)

    hidden[2:] = bad
    pooled = Pooling(spec(mode, normalize=True))(hidden, packing)

    torch.testing.assert_close(pooled[:3], healthy[:3])
    assert pooled[[0, 2, 4]].eq(0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_tokens_pool_to_zeros(mode: str, lengths: list[int]):
    pooled = Pooling(spec(mode, normalize=True))(torch.zeros(0, 3), Packing.of(lengths))

    assert torch.equal(pooled, torch.zeros(len(lengths), 3))


def test_several_modes_are_concatenated_in_their_order():
    hidden, packing = numbers(5, 3), Packing.of([2, 3])

    both = Pooling(spec("max", "cls"))(hidden, packing)

    assert torch.equal(both, torch.cat([Pooling(spec(mode))(hidden, packing) for mode in ("max", "cls")], dim=1))
    assert spec("max", "cls").dimensions(3) == 6


def test_projections_follow_pooling_one_after_the_other():
    tanh = ProjectionSpec(in_features=3, out_features=4, bias=True, activation="tanh")
    plain = ProjectionSpec(in_features=4, out_features=2, bias=False, activation="identity")
    pooling = Pooling(spec("mean", projections=(tanh, plain))).double()
    hidden, packing = numbers(5, 3), Packing.of([2, 3])

    pooled = pooling(hidden, packing)

    first, second = pooling.projections
    mean = torch.stack([hidden[:2].mean(0), hidden[2:].mean(0)])
    torch.testing.assert_close(pooled, torch.tanh(mean @ first.weight.T + first.bias) @ second.weight.T)
    assert second.bias is None
    assert pooling.spec.dimensions(3) == 2


def test_normalised_vectors_have_length_1_and_keep_their_direction():
    hidden, packing = numbers(5, 3), Packing.of([2, 3])

    raw, unit = (Pooling(spec("mean", normalize=normalize))(hidden, packing) for normalize in (False, True))

    torch.testing.assert_close(unit, raw / raw.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", ["mean", "mean_sqrt_len_tokens", "weightedmean"])
def test_half_precision_accumulates_in_float32(dtype: torch.dtype, mode: str):
    """4,000 times 40 is past float16's largest number, and bfloat16 would stop counting at 256."""
    hidden, packing = torch.full((4000, 2), 40.0, dtype=dtype), Packing.of([4000])

    pooled = Pooling(spec(mode))(hidden, packing)

    assert pooled.dtype == torch.float32
    wanted = 40.0 * (math.sqrt(4000) if mode == "mean_sqrt_len_tokens" else 1)
    assert pooled.flatten().tolist() == pytest.approx([wanted] * 2, rel=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_reach_the_tokens_that_take_part_and_no_others(mode: str):
    hidden = torch.tensor([[5.0, 5.0], [5.0, 5.0], [9.0, 9.0], [1.0, 0.0], [0.0, 1.0]]).requires_grad_()

    Pooling(spec(mode))(hidden, Packing.of([2, 0, 3]), 1)[2].sum().backward()

    assert hidden.grad is not None
    touched = hidden.grad.abs().sum(1).nonzero().flatten().tolist()
    assert touched == {"cls": [3], "lasttoken": [4]}.get(mode, [3, 4])


def test_unknown_modes_and_activations_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="choose among cls, max, mean"):
        spec("median")
    with pytest.raises(ValueError, match="choose among cls"):
        spec()
    with pytest.raises(ValueError, match="'elu': choose among identity, tanh"):
        spec("mean", projections=(ProjectionSpec(in_features=3, out_features=4, bias=True, activation="elu"),))
