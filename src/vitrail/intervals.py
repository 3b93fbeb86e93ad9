"""How far a figure may be from what other rows would have given: intervals by bootstrap ([Efron 1979]).

The rows are drawn again with replacement, and the score is taken each time. A difference is taken on the same draw for
both (paired), since two models, or two methods, fail at the same hard rows.

[Efron 1979]: https://doi.org/10.1214/aos/1176344552
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int64

DRAWS = 2000
LEVEL = 0.95
Score = Callable[[Int64[np.ndarray, " rows"]], float]
"""The score of the rows of these numbers."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure, mostly a mean over rows or seeds, and bounds that hold it with probability `LEVEL`."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(rows: int, *scores: Score, seed: int = 0) -> tuple[list[Interval], list[Interval]]:
    """(the interval of each score, that of the first less each of the others), all on the same draws."""
    generator = np.random.default_rng(seed)
    everything = np.arange(rows)
    drawn = np.empty((DRAWS, len(scores)))
    for draw in range(DRAWS):
        chosen = generator.integers(0, rows, rows)
        drawn[draw] = [score(chosen) for score in scores]
    whole = np.array([score(everything) for score in scores])
    own = [_bounds(whole[i], drawn[:, i]) for i in range(len(scores))]
    return own, [_bounds(whole[0] - whole[i], drawn[:, 0] - drawn[:, i]) for i in range(1, len(scores))]


def bootstrap_mean(values: Sequence[float], *, seed: int, texts: Sequence[int] | None = None) -> Interval:
    """The mean of values.

    texts: the text of each value, where one has several (its words): they are drawn together, as they are no
        independent draws.
    """
    array = np.array(values)
    _, places = np.unique(np.arange(len(array)) if texts is None else texts, return_inverse=True)
    sums, counts = np.bincount(places, weights=array), np.bincount(places)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (DRAWS, len(counts)))
    return _bounds(array.mean(), sums[drawn].sum(1) / counts[drawn].sum(1))


def fields_of(interval: Interval | None) -> dict[str, float] | None:
    """Its fields, as a report keeps them."""
    return None if interval is None else asdict(interval)


def plus_or_minus(facts: Mapping[str, float] | None, sign: str) -> str:
    """An interval that reaches equally far to both sides (Student's). sign: "+" where a mean above 0 shall show it."""
    return "–" if facts is None else f"{facts['mean']:{sign}.4f} ± {facts['high'] - facts['mean']:.4f}"


def _bounds(mean: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean=float(mean), low=float(low), high=float(high))
