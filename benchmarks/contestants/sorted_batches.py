"""The careful loop around a runtime that only computes: tokenise without padding, sort by length, batch, pool, undo the
sorting. Given to every rival that brings no loop of its own, so that it is the runtime that is measured.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.machine import cores

# ids and mask, (texts, length) int64 each, to hidden states (texts, length, hidden) or to what pools itself
RunBatch = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sorted_batches(
    model: Path, run: RunBatch, *, batch_size: int = 32, streams: int = 1, max_length: int
) -> Callable[[list[str]], np.ndarray]:
    """`embed(texts)`: mean pooling, normalised. streams: batches computed at the same time, 0 for one on each core."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    pool = ThreadPoolExecutor(streams or cores())

    def embed(texts: list[str]) -> np.ndarray:
        rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        done = (
            pool.map(lambda batch: _pooled(run, [rows[row] for row in batch]), batches)
            if streams != 1
            else (_pooled(run, [rows[row] for row in batch]) for batch in batches)
        )
        vectors = np.concatenate(list(done))
        unsorted = np.empty_like(vectors)
        unsorted[order] = vectors
        return unsorted

    return embed


def _pooled(run: RunBatch, rows: list[list[int]]) -> np.ndarray:
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), np.int64)  # 0 pads: the tokenizer's [PAD]
    for row, line in zip(rows, ids, strict=True):
        line[: len(row)] = row
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    hidden = run(ids, mask)
    mean = np.einsum("rth,rt->rh", hidden, mask.astype(hidden.dtype)) / lengths[:, None]
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
