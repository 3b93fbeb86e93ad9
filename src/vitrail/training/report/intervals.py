"""Intervals by bootstrap: the rows are drawn again with replacement, and the score is taken each time ([Efron 1979]).

A difference is taken on the same draw for both (paired), since two models fail at the same hard rows.

[Efron 1979]: https://doi.org/10.1214/aos/1176344552
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

DRAWS = 1000
LEVEL = 0.95
Score = Callable[[Int64[np.ndarray, " rows"]], float]
"""The score of the rows of these numbers."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score, and the bounds between which `LEVEL` of the draws lie."""

    score: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.score:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(rows: int, *scores: Score, seed: int = 0) -> tuple[list[Interval], list[Interval]]:
    """(the interval of each score, that of the first less each of the others), all on the same draws."""
    generator = np.random.default_rng(seed)
    everything = np.arange(rows)
    drawn = np.empty((DRAWS, len(scores)))
    for draw in range(DRAWS):
        chosen = generator.integers(0, rows, rows)
        drawn[draw] = [score(chosen) for score in scores]
    whole = np.array([score(everything) for score in scores])
    own = [bounds(whole[i], drawn[:, i]) for i in range(len(scores))]
    return own, [bounds(whole[0] - whole[i], drawn[:, 0] - drawn[:, i]) for i in range(1, len(scores))]


def bounds(score: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(score=float(score), low=float(low), high=float(high))
