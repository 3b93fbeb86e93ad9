"""Scores of a run and of the baselines on the same validation rows, by one measure that rows can be drawn for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from vitrail.intervals import Interval, Score, bootstrap
from vitrail.tasks.metrics import accuracy
from vitrail.tasks.tags import scheme_of, spans_of


def classification_score(found: Sequence[Any], wanted: Sequence[Any]) -> Score:
    names = {label: number for number, label in enumerate(sorted({*map(str, found), *map(str, wanted)}))}
    found_ids = np.array([names[str(label)] for label in found], dtype=np.int64)
    wanted_ids = np.array([names[str(label)] for label in wanted], dtype=np.int64)

    def score(rows: Int64[np.ndarray, " rows"]) -> float:
        return accuracy(found_ids[rows], wanted_ids[rows])

    return score


def tagging_score(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Score:
    """F1 of spans: 2 · hits / (found + wanted), over the rows together."""
    scheme = scheme_of(wanted)
    pairs = zip(found, wanted, strict=True)
    counts = np.array([span_counts(one, other, scheme) for one, other in pairs], dtype=np.int64)

    def score(rows: Int64[np.ndarray, " rows"]) -> float:
        hits, spans = counts[rows].sum(0).tolist()
        return 2 * hits / spans if spans else 0.0

    return score


def span_counts(found: Sequence[str], wanted: Sequence[str], scheme: str) -> tuple[int, int]:
    one, other = set(spans_of(found, scheme=scheme)), set(spans_of(wanted, scheme=scheme))
    return len(one & other), len(one) + len(other)


def beside_baselines(
    score_of: Any, predictions: Sequence[Any], baselines: Mapping[str, Sequence[Any]], gold: Sequence[Any], *, seed: int
) -> dict[str, tuple[Interval, Interval | None]]:
    """By name, the run first: its interval, and that of the run less the baseline."""
    everyone = {"this run": predictions, **baselines}
    own, differences = bootstrap(len(gold), *(score_of(found, gold) for found in everyone.values()), seed=seed)
    return dict(zip(everyone, zip(own, [None, *differences], strict=True), strict=True))
