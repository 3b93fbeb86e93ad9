"""Sequences of any length through a model, in batches of about equal work.

Sorted by length, so that sequences of equal length lie side by side (a kernel views them as a rectangle), and cut by a
budget of tokens, so that a batch of short texts holds many and a batch of long ones few. A batch that the device has
not the memory for is cut smaller, and run again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vitrail.backends.transfers import Transfers
from vitrail.errors import BackendError
from vitrail.layers.packing import Packing

Run = Callable[[Tensor, Packing], Tensor]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Packed sequences: all their ids, one after the other, and where each begins and ends."""

    ids: Int64[np.ndarray, "tokens"]
    boundaries: Int64[np.ndarray, "boundaries"]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A batch that was computed. chosen: which sequences of the source it holds. rows: where their tokens stand in its
    `ids`. values: what was made of them.
    """

    source: int
    chosen: Int64[np.ndarray, "chosen"]
    rows: Int64[np.ndarray, "rows"]
    values: Float32[np.ndarray, "values width"]


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


def computed_batches(run: Run, sources: Iterable[Source], *, budget: int, transfers: Transfers) -> Iterator[Done]:
    """What `run` makes of every sequence of one source after the other, without a pause between sources.

    A step is started before those ahead of it are done, as many as `transfers` says; they are given in the order they
    were started. To be used inside `evaluating`. Raises BackendError for a sequence that alone is too large.
    """
    under_way: deque[_Step] = deque()
    most = budget  # becomes less when the memory is found to be too small for it
    for number, source in enumerate(sources):
        lengths = np.diff(source.boundaries)
        waiting = deque(token_batches(lengths, budget))
        while waiting:
            chosen = waiting.popleft()
            tokens = int(lengths[chosen].sum())
            if tokens > most and len(chosen) > 1:
                waiting.extendleft(reversed([chosen[some] for some in token_batches(lengths[chosen], most)]))
                continue
            step = _start(run, number, source, chosen, transfers)
            if step is not None:
                under_way.append(step)
            elif under_way:  # once these let go of their memory, it may be enough
                waiting.appendleft(chosen)
            elif len(chosen) > 1:
                most = tokens // 2
                waiting.appendleft(chosen)
            else:
                raise too_large(tokens)
            while len(under_way) > (0 if step is None else transfers.ahead):
                yield under_way.popleft().finish()
            if step is None:
                transfers.let_go()
    while under_way:
        yield under_way.popleft().finish()


def too_large(tokens: int) -> BackendError:
    return BackendError(
        f"the memory of the device is too small for {tokens} tokens of one input; lower max_length or the precision, "
        "or let other processes leave the device"
    )


def places_of(
    boundaries: Int64[np.ndarray, "boundaries"], chosen: Int64[np.ndarray, "chosen"]
) -> Int64[np.ndarray, "rows"]:
    """Where the tokens of the chosen sequences stand in the stream, one sequence after the other."""
    starts = boundaries[chosen]
    lengths = boundaries[chosen + 1] - starts
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A batch that the device has to do. held: what it may still read and write."""

    source: int
    chosen: Int64[np.ndarray, "chosen"]
    rows: Int64[np.ndarray, "rows"]
    wait: Callable[[], Tensor]
    held: Any

    def finish(self) -> Done:
        values = self.wait().float().numpy()
        return Done(source=self.source, chosen=self.chosen, rows=self.rows, values=values)


def _start(
    run: Run, number: int, source: Source, chosen: Int64[np.ndarray, "chosen"], transfers: Transfers
) -> _Step | None:
    """None where the memory is too small. The error is not kept: it would keep what was computed until then."""
    rows = places_of(source.boundaries, chosen)
    try:
        tokens, packing = transfers.upload(source.ids[rows], np.diff(source.boundaries)[chosen].tolist())
        values = run(tokens, packing)
        wait = transfers.download(values)
    except torch.OutOfMemoryError:
        return None
    return _Step(source=number, chosen=chosen, rows=rows, wait=wait, held=(tokens, packing, values))
