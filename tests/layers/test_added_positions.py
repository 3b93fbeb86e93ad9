"""Positions that are added to the embeddings, against loops over the places of a row."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import masks, packings, some
from vitrail.layers.packing import Packing
from vitrail.layers.positions.learned import LearnedPositions
from vitrail.layers.positions.sinusoidal import SinusoidalPositions

PADDING = 1


@some(30)
@given(packings(), st.integers(1, 9))
def test_sinusoidal_positions_are_the_waves_of_the_paper_in_even_and_odd_widths(packing: Packing, width: int):
    waves = SinusoidalPositions(width)(torch.zeros(packing.num_tokens, dtype=torch.long), packing)

    assert waves.shape == (packing.num_tokens, width)
    assert waves.dtype == torch.float32
    for column, wave in zip(packing.columns.tolist(), waves.tolist(), strict=True):
        for dimension, value in enumerate(wave):
            angle = column / 10000 ** ((dimension - dimension % 2) / width)
            assert value == pytest.approx(math.cos(angle) if dimension % 2 else math.sin(angle), abs=1e-6)


def test_sinusoidal_positions_have_no_longest_position_and_stay_exact_far_out():
    packing = Packing((1,), torch.tensor([1_000_003]), plain=False)

    wave = SinusoidalPositions(4)(torch.tensor([0]), packing)[0]

    wanted = [math.sin(1_000_003), math.cos(1_000_003), math.sin(10000.03), math.cos(10000.03)]
    assert wave.tolist() == pytest.approx(wanted, abs=1e-6)


@some(60)
@given(masks(), st.sampled_from([None, 0, PADDING]), st.integers(0, 1000))
def test_a_learned_position_is_the_column_or_the_count_of_ids_that_are_not_padding(
    mask: torch.Tensor, padding_id: int | None, seed: int
):
    input_ids = torch.randint(0, 4, mask.shape, generator=torch.Generator().manual_seed(seed))
    positions = LearnedPositions(12, 3, padding_id=padding_id)
    packing, kept = Packing.of_mask(mask, None if padding_id is None else input_ids == padding_id)

    vectors = positions(input_ids.flatten()[kept], packing)

    wanted = []
    for row_mask, row_ids in zip(mask.tolist(), input_ids.tolist(), strict=True):
        counted = 0
        for column, (keep, token) in enumerate(zip(row_mask, row_ids, strict=True)):
            counted += token != padding_id
            if keep and padding_id is None:
                wanted.append(column)
            elif keep:
                wanted.append(padding_id if token == padding_id else padding_id + counted)
    torch.testing.assert_close(vectors, positions.table.weight[torch.tensor(wanted, dtype=torch.long)])


def test_a_packing_made_from_lengths_alone_counts_its_ids_the_same_way():
    positions = LearnedPositions(9, 3, padding_id=PADDING)
    input_ids = torch.tensor([5, PADDING, 6, 7, PADDING, 5])

    vectors = positions(input_ids, Packing.of([3, 0, 3]))

    # sequence 1: 5 → 2, padding → 1, 6 → 3; sequence 2: 7 → 2, padding → 1, 5 → 3
    torch.testing.assert_close(vectors, positions.table.weight[[2, 1, 3, 2, 1, 3]])


@pytest.mark.parametrize(("padding_id", "longest"), [(None, 7), (0, 6), (PADDING, 5)])
def test_a_learned_table_takes_its_longest_text_and_refuses_one_token_more(padding_id: int | None, longest: int):
    positions = LearnedPositions(7, 3, padding_id=padding_id)
    assert positions.max_length == longest

    assert positions(torch.full((longest,), 5), Packing.of([longest])).shape == (longest, 3)
    with pytest.raises(ValueError, match=f"a sequence of {longest + 1} tokens .* at most {longest} tokens"):
        positions(torch.full((longest + 1,), 5), Packing.of([longest + 1]))


def test_the_position_of_the_padding_token_is_never_trained():
    positions = LearnedPositions(7, 3, padding_id=PADDING)

    positions(torch.tensor([5, PADDING, 6]), Packing.of([3])).sum().backward()

    assert positions.table.weight.grad is not None
    assert positions.table.weight.grad.any(dim=1).tolist() == [False, False, True, True, False, False, False]
