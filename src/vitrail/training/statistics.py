"""What a mean over few seeds is worth: its interval by Student's t ([Student 1908]).

Seeds are compared in pairs: a seed decides the order of the data and the first weights for both sides, so the
difference of a pair is that of the sides. Where several differences are looked at together, each interval is widened
(Bonferroni), so that all of them hold at once with the level that one would have; a difference is significant where
its interval leaves 0 out.

[Student 1908]: https://doi.org/10.1093/biomet/6.1.1
"""

from collections.abc import Sequence

import numpy as np

from vitrail.intervals import LEVEL, Interval


def mean_interval(values: Sequence[float], *, comparisons: int = 1) -> Interval:
    """The mean of at least two values and its interval, one of `comparisons` that are to hold together."""
    from scipy.stats import t  # type: ignore[import-untyped]

    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs two of them at least, got {len(values)}")
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(t.ppf(1 - (1 - LEVEL) / (2 * comparisons), len(values) - 1)) * error
    return Interval(mean=mean, low=mean - reach, high=mean + reach)
