"""Means over few seeds, against scipy's own test."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from vitrail.training.statistics import mean_interval


@pytest.mark.parametrize("comparisons", [1, 7])
@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_interval_is_that_of_students_t_widened_for_the_comparisons(count: int, comparisons: int):
    values = list(np.random.default_rng(count).normal(0.3, 0.1, size=count))

    wanted = ttest_1samp(values, 0).confidence_interval(1 - 0.05 / comparisons)
    found = mean_interval(values, comparisons=comparisons)

    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), wanted.low, wanted.high))
    assert (found.low > 0) == (ttest_1samp(values, 0).pvalue < 0.05 / comparisons)


def test_one_value_says_nothing_of_chance():
    with pytest.raises(ValueError, match="two of them at least, got 1"):
        mean_interval([0.5])
