"""What the trials say: each shape beside the configured one, over the same seeds, and which shapes are worth having.

The test is the paired t-test over seeds; with m shapes compared, each interval is one of m that hold together at 95 %
(Bonferroni). It says what new seeds would do on these validation rows, not what other rows would do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitrail.intervals import Interval
from vitrail.models.alternatives import Shape
from vitrail.training.evaluation import LOSS
from vitrail.training.plan.config import LEAST_SEEDS
from vitrail.training.plan.trials import Trial
from vitrail.training.statistics import mean_interval


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A shape over its seeds. score: the mean; None below two scores. failed: what happened to seeds without one.

    difference: against the configured shape, positive where this one is better; None for that one itself, and where
    fewer than LEAST_SEEDS pairs are left, or all pairs differ alike, so that nothing shows what chance does.
    """

    shape: Shape
    scores: Mapping[int, float]
    failed: Mapping[int, str]
    score: Interval | None
    difference: Interval | None

    @property
    def verdict(self) -> str:
        """better, worse, or neither. A shape that fails with some seed is never better."""
        if self.difference is not None and self.difference.high < 0:
            return "worse"
        if self.difference is not None and self.difference.low > 0 and not self.failed:
            return "better"
        return "no significant difference"


def standings(trials: Sequence[Trial], *, metric: str, configured: Shape) -> list[Standing]:
    """One for each shape, in the order of the trials."""
    shapes = list(dict.fromkeys(trial.shape for trial in trials))
    sign = -1 if metric == LOSS else 1
    of_shape = {shape: [trial for trial in trials if trial.shape == shape] for shape in shapes}
    scores = {
        shape: {trial.seed: trial.score for trial in each if trial.score is not None}
        for shape, each in of_shape.items()
    }
    gains = {
        shape: [sign * (score - scores[configured][seed]) for seed, score in each.items() if seed in scores[configured]]
        for shape, each in scores.items()
        if shape != configured
    }
    return [
        Standing(
            shape=shape,
            scores=scores[shape],
            failed={trial.seed: trial.error for trial in of_shape[shape] if trial.error is not None},
            score=mean_interval(list(scores[shape].values())) if len(scores[shape]) >= 2 else None,
            difference=_difference(gains[shape], len(gains)) if shape in gains else None,
        )
        for shape in shapes
    ]


def smallest_seen(found: Sequence[Standing]) -> float | None:
    """About the least difference that so many seeds could show: the middle of the intervals' half widths."""
    reaches = [(each.difference.high - each.difference.low) / 2 for each in found if each.difference is not None]
    return float(np.median(reaches)) if reaches else None


def pareto(found: Sequence[Standing], speeds: Mapping[Shape, float], *, metric: str) -> set[Shape]:
    """The shapes that no other one beats in both the mean score and the speed."""
    sign = -1 if metric == LOSS else 1
    points = {each.shape: (sign * each.score.mean, speeds[each.shape]) for each in found if each.score is not None}

    def beaten(shape: Shape) -> bool:
        here = points[shape]
        return any(there != here and there[0] >= here[0] and there[1] >= here[1] for there in points.values())

    return {shape for shape in points if not beaten(shape)}


def sentences(found: Sequence[Standing], *, configured: Shape, seeds: int, metric: str) -> list[str]:
    """The verdict in words, a sentence for each question that was asked."""
    compared = [each for each in found if each.difference is not None]
    said = [
        f"{each.shape} is {each.verdict} than the configured shape: {each.difference.mean:+.4f} {metric} "
        f"({each.difference.low:+.4f} to {each.difference.high:+.4f})."
        for each in compared
        if each.difference is not None and each.verdict != "no significant difference"
    ]
    others = [each.shape for each in compared if each.verdict == "no significant difference"]
    axes = {
        "heads": [shape for shape in others if (shape.layers, shape.width) == (configured.layers, configured.width)],
        "attention and feed-forward": [
            shape for shape in others if (shape.layers, shape.width) != (configured.layers, configured.width)
        ],
    }
    for question, shapes in axes.items():
        if shapes:
            others_named = f"{len(shapes)} other shape{'s' * (len(shapes) > 1)}"
            said.append(f"On {question}: no significant difference between the configured shape and {others_named}.")
    for each in found:
        if each.failed:
            said.append(f"{each.shape} failed with {len(each.failed)} of {seeds} seeds, and cannot be called better.")
        elif each.difference is None and each.shape != configured:
            said.append(f"{each.shape} could not be compared: {_why_not(each)}.")
    least = smallest_seen(compared)
    if least is not None:
        said.append(
            f"Test: paired t-test over {seeds} seeds, corrected for {len(compared)} comparisons (Bonferroni, 95 % "
            f"together). A difference below about {least:.4f} could not have been seen; more seeds see smaller ones."
        )
    return said


def _difference(gains: Sequence[float], comparisons: int) -> Interval | None:
    if len(gains) < LEAST_SEEDS or (np.ptp(gains) < 1e-12 and abs(gains[0]) > 1e-12):
        return None
    return mean_interval(gains, comparisons=comparisons)


def _why_not(standing: Standing) -> str:
    if len(standing.scores) < LEAST_SEEDS:
        return f"fewer than {LEAST_SEEDS} seeds have a score"
    return "all its seeds differ by the same amount, or the configured shape failed, so nothing shows what chance does"
