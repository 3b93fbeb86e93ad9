"""Rotary positions against rotations of 2 × 2, pair by pair."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import numbers, packings, some
from vitrail.layers.packing import Packing
from vitrail.layers.positions.rotary import Rotary


@some(40)
@given(
    packings(max_sequences=3),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([10000.0, 160000.0]),
    st.sampled_from([1.0, 4.0]),
)
def test_every_pair_of_dimensions_is_turned_by_its_own_angle_and_the_rest_is_left(
    packing: Packing, pairs: int, rest: int, base: float, scaling: float
):
    vectors = numbers(packing.num_tokens, 2, 2 * pairs + rest)

    turned = Rotary(2 * pairs, base=base, scaling=scaling)(vectors, packing)

    wanted = vectors.clone()
    for token, column in enumerate(packing.columns.tolist()):
        for pair in range(pairs):
            angle = column / scaling * base ** (-2 * pair / (2 * pairs))
            rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            for head in range(2):
                places = [pair, pair + pairs]
                wanted[token, head, places] = rotation.double() @ vectors[token, head, places]
    # angles are float32, as checkpoints were trained with
    torch.testing.assert_close(turned, wanted, atol=1e-5, rtol=0)


def test_a_score_depends_on_the_difference_of_columns_only():
    rotary = Rotary(6)
    query, key = numbers(1, 1, 6, seed=1), numbers(1, 1, 6, seed=2)

    def score(at: int, of: int) -> float:
        stream = rotary(torch.cat([query, key]), Packing((2,), torch.tensor([at, of]), plain=False))
        return float((stream[0] * stream[1]).sum())

    assert score(7, 3) == pytest.approx(score(4, 0), abs=1e-5)
    assert score(107, 103) == pytest.approx(score(4, 0), abs=1e-4)
    assert score(3, 7) != pytest.approx(score(7, 3), abs=1e-2)


def test_rotation_keeps_lengths_and_column_zero():
    vectors = numbers(5, 2, 8)

    turned = Rotary(8)(vectors, Packing.of([5]))

    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(turned[0], vectors[0])


def test_half_precision_turns_by_the_same_angles_far_out():
    """An angle in bfloat16 would be off by whole turns at column 5001."""
    packing = Packing((1,), torch.tensor([5001]), plain=False)
    vectors = numbers(1, 1, 8)

    exact, half = (Rotary(8)(vectors.to(dtype), packing) for dtype in (torch.float64, torch.bfloat16))

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), exact, atol=0.03, rtol=0)


def test_the_waves_of_a_batch_are_computed_once_per_base():
    packing = Packing.of([3, 2])

    first, again, other = Rotary(4).waves(packing), Rotary(4).waves(packing), Rotary(4, base=500.0).waves(packing)

    assert first is again
    assert other is not first


def test_an_odd_number_of_dimensions_is_refused():
    with pytest.raises(ValueError, match="even, got 3"):
        Rotary(3)
