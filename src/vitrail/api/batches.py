"""Sequences of any length into batches of about equal work.

Sorted by length, so that sequences of equal length lie side by side (a kernel views them as a rectangle), and cut by a
budget of tokens, so that a batch of short texts holds many and a batch of long ones few.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


def token_batches(lengths: Int64[np.ndarray, "sequences"], budget: int) -> Iterator[Int64[np.ndarray, "chosen"]]:
    """Indices of the sequences of each batch, the longest first; a sequence longer than the budget is alone.

    Equal lengths stay in the order they came in, so equal input makes equal batches.
    """
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + budget, side="right")), start + 1)
        yield order[start:stop]
        start = stop


def gather(
    ids: Int64[np.ndarray, "tokens"],
    boundaries: Int64[np.ndarray, "boundaries"],
    chosen: Int64[np.ndarray, "chosen"],
) -> Int64[np.ndarray, "some"]:
    """The tokens of the chosen sequences, one sequence after the other."""
    starts, lengths = boundaries[chosen], np.diff(boundaries)[chosen]
    offsets = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return ids[np.arange(int(lengths.sum())) + offsets]
