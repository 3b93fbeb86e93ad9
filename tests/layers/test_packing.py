"""The packed layout: what it says of a batch is what a loop over the batch's rows says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import masks, numbers, packings, some
from vitrail.layers.packing import Packing

LENGTHS = st.lists(st.integers(0, 7), max_size=5)


@some(60)
@given(LENGTHS)
def test_sequences_lie_one_after_the_other(lengths: list[int]):
    packing = Packing.of(lengths)

    places = [(sequence, place) for sequence, length in enumerate(lengths) for place in range(length)]
    assert packing.sequence_ids.tolist() == [sequence for sequence, _ in places]
    assert packing.columns.tolist() == packing.ordinals_in_sequence.tolist() == [place for _, place in places]
    assert packing.boundaries.tolist() == [sum(lengths[:count]) for count in range(len(lengths) + 1)]
    assert (packing.num_sequences, packing.num_tokens) == (len(lengths), sum(lengths))
    assert packing.max_length == max([0, *lengths])
    assert packing.plain
    assert packing.ordinals is None


@some(100)
@given(masks())
def test_a_mask_packs_what_a_loop_over_its_rows_keeps(mask: torch.Tensor):
    packing, kept = Packing.of_mask(mask)

    rows, length = mask.shape
    places = [(row, column) for row in range(rows) for column in range(length) if mask[row, column]]
    assert kept.tolist() == [row * length + column for row, column in places]
    assert packing.columns.tolist() == [column for _, column in places]
    assert packing.sequence_ids.tolist() == [row for row, _ in places]
    assert packing.lengths == tuple(sum(row == each for each, _ in places) for row in range(rows))


@some(100)
@given(masks())
def test_a_packing_is_plain_exactly_when_every_row_keeps_a_prefix(mask: torch.Tensor):
    packing, _ = Packing.of_mask(mask)

    assert packing.plain == all(row == sorted(row, reverse=True) for row in mask.tolist())


@some(100)
@given(masks())
def test_tokens_are_counted_inside_their_sequence_whatever_their_columns(mask: torch.Tensor):
    packing, _ = Packing.of_mask(mask)

    assert packing.ordinals_in_sequence.tolist() == [place for length in packing.lengths for place in range(length)]


@some(100)
@given(masks(), st.integers(0, 1000))
def test_ordinals_count_the_ids_of_the_row_that_are_not_padding_masked_ones_included(mask: torch.Tensor, seed: int):
    is_padding = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.3

    packing, _ = Packing.of_mask(mask, is_padding)

    assert packing.ordinals is not None
    assert packing.ordinals.tolist() == [
        int((~is_padding[row, : column + 1]).sum())
        for row in range(mask.shape[0])
        for column in range(mask.shape[1])
        if mask[row, column]
    ]


@some(100)
@given(LENGTHS)
def test_runs_are_the_longest_stretches_of_equal_length_and_cover_every_token_once(lengths: list[int]):
    packing = Packing.of(lengths)

    unrolled = [length for _, count, length in packing.runs for _ in range(count)]
    assert unrolled == [length for length in lengths if length]
    starts = [first for first, _, _ in packing.runs]
    assert starts == [sum(c * n for _, c, n in packing.runs[:i]) for i in range(len(packing.runs))]
    for before, after in zip(packing.runs, packing.runs[1:], strict=False):
        assert before[2] != after[2] or 0 in lengths


@some(50)
@given(packings())
def test_splitting_gives_each_sequence_its_tokens_and_concatenating_gives_the_stream_back(packing: Packing):
    stream = numbers(packing.num_tokens, 3)

    parts = packing.split(stream)

    assert [part.shape[0] for part in parts] == list(packing.lengths)
    assert torch.equal(torch.cat([stream.new_zeros(0, 3), *parts]), stream)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0)])
def test_a_batch_without_places_packs_to_no_tokens(shape: tuple[int, int]):
    packing, kept = Packing.of_mask(torch.ones(shape, dtype=torch.bool))

    assert packing.lengths == (0,) * shape[0]
    assert packing.plain
    assert packing.num_tokens == kept.numel() == 0
    assert packing.runs == ()


def test_a_packing_knows_holes_and_padding_on_the_left():
    mask = torch.tensor([[False, False, True, True], [True, False, True, False], [False] * 4])

    packing, _ = Packing.of_mask(mask)

    assert packing.lengths == (2, 2, 0)
    assert packing.columns.tolist() == [2, 3, 0, 2]
    assert not packing.plain


def test_a_negative_length_is_refused():
    with pytest.raises(ValueError, match="-2"):
        Packing.of([3, -2])
