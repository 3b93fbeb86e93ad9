"""Which rows come when: a pure function of (seed, epoch) and of the lengths.

    rows of an epoch --shuffle--> order --every batch_size rows--> windows --budget of tokens--> pieces

A window is what one step of the optimiser sees. A piece is what goes through the model at once; how a window is cut
into pieces changes nothing but memory and speed. Neither resuming nor the number of processes is an argument of the
order, so neither can change it.
"""

import math

import numpy as np
from jaxtyping import Int64

# Rows that are sorted among themselves when windows are grouped by length, in windows: as the reference trainer does.
_WINDOWS_SORTED_TOGETHER = 50

Rows = Int64[np.ndarray, "_"]


def epoch_windows(
    lengths: Int64[np.ndarray, "rows"], *, batch_size: int, seed: int, epoch: int, group_by_length: bool = False
) -> list[Rows]:
    """The windows of one epoch: every row once, the last window with what is left.

    group_by_length: inside shuffled stretches of 50 windows, rows of like length share a window, and the windows of the
        stretch are shuffled again, so that no part of an epoch sees longer rows than another.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    if not group_by_length:
        return _cut(order, batch_size)
    windows: list[Rows] = []
    stretch = batch_size * _WINDOWS_SORTED_TOGETHER
    for start in range(0, len(order), stretch):
        rows = order[start : start + stretch]
        alike = _cut(rows[np.argsort(lengths[rows], kind="stable")], batch_size)
        windows += [alike[place] for place in generator.permutation(len(alike))]
    return windows


def steps_of(rows: int, batch_size: int) -> int:
    """Windows of one epoch."""
    return math.ceil(rows / batch_size)


def pieces_of(window: Rows, lengths: Int64[np.ndarray, "rows"], *, batch_tokens: int, at_least: int = 1) -> list[Rows]:
    """A window cut into pieces of at most `batch_tokens` tokens, the longest rows first; a longer row is alone.

    at_least: cut smaller where needed so that so many processes have something to do (a window of fewer rows gives
        fewer pieces).
    """
    order = window[np.argsort(-lengths[window], kind="stable")]
    tokens = lengths[order]
    budget = min(batch_tokens, math.ceil(int(tokens.sum()) / at_least))
    pieces: list[Rows] = []
    start, filled = 0, 0
    for place, count in enumerate(tokens.tolist()):
        if place > start and filled + count > budget:
            pieces.append(order[start:place])
            start, filled = place, 0
        filled += count
    return [*pieces, order[start:]]


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
