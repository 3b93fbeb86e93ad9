"""Windows over long text, and back: which tokens each window holds, and whose value a token takes.

The idea: consecutive windows overlap by `stride` tokens, and a token near the edge of a window has seen only one
side of its context. So when windows are merged, every token takes its value from the window in which it is farthest
from an edge: two neighbours meet in the middle of their overlap.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from vitrail.tokenization.batch import TokenBatch

MAX_WINDOWS = 1024
"""No text becomes more windows than this; what lies behind them is reported as truncated."""


def window_spans(tokens: int, *, size: int, stride: int) -> list[tuple[int, int]]:
    """The (start, end) of windows of `size` tokens that overlap by `stride` and cover `tokens`, at most MAX_WINDOWS."""
    count = min(MAX_WINDOWS, 1 + max(0, -(-(tokens - size) // (size - stride))))
    starts = (number * (size - stride) for number in range(count))
    return [(start, min(start + size, tokens)) for start in starts]


def most_covered(*, size: int, stride: int) -> int:
    """The most content tokens of one text that its windows reach."""
    return size + (MAX_WINDOWS - 1) * (size - stride)


def merge_windows(batch: TokenBatch, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Values of the packed stream (one per token, on axis 0) to one array per text, each token once.

    A text keeps `used_tokens` rows: its leading special tokens and prompt from its first window, its content, its
    trailing special tokens from its last. Without windows this only splits the stream.
    """
    if len(values) != len(batch.ids):
        raise ValueError(f"{len(values)} values for a batch of {len(batch.ids)} tokens: give one per packed token")
    texts = len(batch.input_tokens)
    first = np.searchsorted(batch.text_index, np.arange(texts + 1)).tolist()
    return [values[_sources(batch, first[text], first[text + 1])] for text in range(texts)]


def _sources(batch: TokenBatch, first: int, last: int) -> slice | Int64[np.ndarray, "tokens"]:
    """Where in the stream the tokens of one text, sequences first to last, are taken from."""
    if last - first == 1:
        return slice(batch.boundaries[first], batch.boundaries[last])
    leading, trailing = batch.frame
    starts = batch.window_start[first:last]
    content = batch.boundaries[first:last] + leading
    ends = starts + (batch.boundaries[first + 1 : last + 1] - trailing - content)
    meeting = (starts[1:] + ends[:-1]) // 2
    owned_from = np.concatenate([starts[:1], meeting])
    owned_to = np.concatenate([meeting, ends[-1:]])
    pieces = [np.arange(batch.boundaries[first], content[0])]
    pieces += [
        np.arange(place + low - start, place + high - start)
        for place, start, low, high in zip(content, starts, owned_from, owned_to, strict=True)
    ]
    pieces.append(np.arange(batch.boundaries[last] - trailing, batch.boundaries[last]))
    return np.concatenate(pieces)
