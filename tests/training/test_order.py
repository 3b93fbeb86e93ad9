"""The order of data is a function of (seed, epoch); pieces are cut by tokens."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strategies import some
from vitrail.training.order import epoch_windows, pieces_of, steps_of

LENGTHS = np.random.default_rng(0).geometric(0.05, size=700)


@some(30)
@given(
    rows=st.integers(1, 200),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
    group=st.booleans(),
)
def test_an_epoch_sees_every_row_once_in_windows_of_the_size(
    rows: int, batch_size: int, seed: int, epoch: int, group: bool
):
    windows = epoch_windows(LENGTHS[:rows], batch_size=batch_size, seed=seed, epoch=epoch, group_by_length=group)

    assert sorted(np.concatenate(windows).tolist()) == list(range(rows))
    assert len(windows) == steps_of(rows, batch_size)
    assert sorted(map(len, windows))[1:] == [batch_size] * (len(windows) - 1)


def test_seed_and_epoch_decide_the_order_and_nothing_else_does():
    def order(seed: int, epoch: int) -> list[int]:
        np.random.seed(seed + epoch)  # the global generator has no part in it
        return np.concatenate(epoch_windows(LENGTHS, batch_size=8, seed=seed, epoch=epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_grouping_by_length_spares_padding_and_prefers_no_part_of_the_epoch():
    def mean_lengths(group: bool) -> tuple[np.ndarray, float]:
        """(mean length of a row at each place of the epoch, over epochs; spread inside windows)"""
        epochs = [
            epoch_windows(LENGTHS[:640], batch_size=8, seed=0, epoch=epoch, group_by_length=group)
            for epoch in range(200)
        ]
        means = np.array([[LENGTHS[window].mean() for window in windows] for windows in epochs])
        spread = np.mean([LENGTHS[window].std() for windows in epochs for window in windows])
        return means.mean(0), float(spread)

    (random, random_spread), (grouped, grouped_spread) = mean_lengths(False), mean_lengths(True)

    assert grouped_spread < random_spread / 5
    # windows differ more from each other, so their mean over 200 epochs wavers more, but about the same value
    assert abs(np.corrcoef(np.arange(len(grouped)), grouped)[0, 1]) < 0.3
    assert abs(grouped[:40].mean() - random[:40].mean()) < 1.0


@some(30)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    budget=st.integers(1, 120),
    parts=st.integers(1, 4),
)
def test_pieces_hold_every_row_once_and_no_more_than_the_budget(lengths: list[int], budget: int, parts: int):
    sizes = np.array(lengths)
    pieces = pieces_of(np.arange(len(sizes)), sizes, batch_tokens=budget, at_least=parts)

    assert sorted(np.concatenate(pieces).tolist()) == list(range(len(sizes)))
    assert all(len(piece) == 1 or sizes[piece].sum() <= budget for piece in pieces)
    if len(set(lengths)) == 1:
        assert len(pieces) >= min(parts, len(lengths))
