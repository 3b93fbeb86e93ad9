"""The rows of an embeddings file nearest to a query: exact, in flat memory, ties in order of the rows."""

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vitrail.errors import FileFormatError
from vitrail.files.embeddings import EmbeddingBatch, read_embeddings
from vitrail.files.rows import RESERVED_COLUMNS, TEXT_COLUMNS


class Hit(NamedTuple):
    """`columns`: those of the input that were asked for, by name."""

    score: float
    row: int
    text: str | None
    columns: dict[str, object]


class Nearest(NamedTuple):
    """`hits` per query, best first; of `searched` + `skipped` rows the skipped have no vector."""

    hits: list[list[Hit]]
    searched: int
    skipped: int


def nearest(
    path: Path,
    queries: Float[np.ndarray, "queries dimensions"],
    *,
    count: int,
    cosine: bool,
    column: str | None = None,
    show: Sequence[str] = (),
) -> Nearest:
    """The `count` rows with the greatest dot product (or cosine) with each query, and their columns named in `show`.

    Summed in float64 and rounded to float32, so that equal vectors score equal wherever they stand.
    """
    wanted = unit(queries) if cosine else queries.astype(np.float64)
    hits: list[list[Hit]] = [[] for _ in queries]
    searched = skipped = 0
    for batch in read_embeddings(path):
        skipped += batch.without_vector
        searched += len(batch.numbers)
        if not len(batch.numbers):
            continue
        vectors = unit(batch.vectors) if cosine else batch.vectors.astype(np.float64)
        for position, scores in enumerate((wanted @ vectors.T).astype(np.float32)):
            found = hits[position] + best_of(batch, scores, count, column, show)
            hits[position] = heapq.nsmallest(count, found, key=lambda hit: (-hit.score, hit.row))
    return Nearest(hits, searched, skipped)


def best_of(
    batch: EmbeddingBatch,
    scores: Float[np.ndarray, " rows"],
    count: int,
    column: str | None,
    show: Sequence[str],
) -> list[Hit]:
    hits = []
    for i in np.lexsort((batch.numbers, -scores))[:count]:
        columns = dict(batch.columns[i])
        unknown = [name for name in show if name not in columns]
        if unknown:
            there = ", ".join(name for name in columns if name not in RESERVED_COLUMNS) or "none"
            raise FileFormatError(f"there is no column {unknown[0]!r} to show; the input's columns are: {there}")
        shown = {name: columns[name] for name in show}
        hits.append(Hit(float(scores[i]), int(batch.numbers[i]), text_of(columns, column), shown))
    return hits


def text_of(columns: dict[str, object], wanted: str | None) -> str | None:
    """What to show of a row: the column that was embedded, as far as the file tells."""
    texts = {name: text for name, text in columns.items() if name not in RESERVED_COLUMNS and isinstance(text, str)}
    usual = (name for name in (wanted, *TEXT_COLUMNS, *texts) if name in texts)
    return texts.get(next(usual, None) or "")


def unit(vectors: Float[np.ndarray, "rows dimensions"]) -> Float[np.ndarray, "rows dimensions"]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)
