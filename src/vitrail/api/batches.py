"""Sequences of any length into batches of about equal work.

Sorted by length, so that sequences of equal length lie side by side (a kernel views them as a rectangle), and cut by a
budget of tokens, so that a batch of short texts holds many and a batch of long ones few.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vitrail.layers.packing import Packing


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


def hidden_batches(
    run: Callable[[Tensor, Packing], Tensor],
    ids: Int64[np.ndarray, "tokens"],
    boundaries: Int64[np.ndarray, "boundaries"],
    *,
    budget: int,
    device: torch.device,
) -> Iterator[tuple[Int64[np.ndarray, "chosen"], Int64[np.ndarray, "rows"], Packing, Tensor]]:
    """Run packed sequences batch by batch.

    Gives, for each batch: which sequences it holds, where their tokens stand in `ids`, their packing, their hidden
    states. To be used inside `evaluating`.
    """
    lengths = np.diff(boundaries)
    for chosen in token_batches(lengths, budget):
        packing = Packing.of(lengths[chosen].tolist(), device=device)
        rows = places_of(boundaries, chosen)
        yield chosen, rows, packing, run(torch.from_numpy(ids[rows]).to(device), packing)


def places_of(
    boundaries: Int64[np.ndarray, "boundaries"], chosen: Int64[np.ndarray, "chosen"]
) -> Int64[np.ndarray, "rows"]:
    """Where the tokens of the chosen sequences stand in the stream, one sequence after the other."""
    starts = boundaries[chosen]
    lengths = boundaries[chosen + 1] - starts
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
