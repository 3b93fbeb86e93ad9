"""Adapted beside unadapted: trained on one task by one configuration, on the same seeds, and compared in pairs.

A seed decides the order of the data and the first weights of the head, for both alike; so the difference of a pair is
that of the models. The adapted one wins where the mean difference, less what chance does to a mean of so few pairs
(Student's t, 95 %), is above 0.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitrail.intervals import Interval
from vitrail.training.adapt.config import DownstreamConfig
from vitrail.training.assembly import train_in
from vitrail.training.config import ModelConfig, RunConfig
from vitrail.training.evaluation import LOSS
from vitrail.training.run import TrainingResult
from vitrail.training.statistics import mean_interval


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """validation: (unadapted, adapted) of every seed; test: the same, None without test data.

    difference: adapted less unadapted on the validation data, positive where adapted is better.
    """

    metric: str
    seeds: tuple[int, ...]
    validation: tuple[tuple[float, float], ...]
    test: tuple[tuple[float, float], ...] | None
    difference: Interval

    @property
    def wins(self) -> bool:
        return self.difference.low > 0

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"metric": self.metric, "seeds": list(self.seeds)}
        for split, pairs in (("validation", self.validation), ("test", self.test)):
            if pairs is not None:
                found[split] = {"unadapted": [a for a, _ in pairs], "adapted": [b for _, b in pairs]}
        return {**found, "difference": asdict(self.difference), "adapted_wins": self.wins}


def compare(
    unadapted: ModelConfig, adapted: Path, downstream: DownstreamConfig, folder: Path, *, show_progress: bool | None
) -> Comparison:
    """Train both on every seed, each in a folder of its own under `folder`."""
    begins = {"unadapted": unadapted.model_copy(update={"head": "new"}), "adapted": ModelConfig(name=str(adapted))}
    pairs: list[tuple[TrainingResult, TrainingResult]] = []
    for seed in downstream.seeds:
        runs = []
        for name, model in begins.items():
            place = folder / f"{name}-{seed}"
            config = _with(downstream.config, model, seed)
            runs.append(train_in(place, config, overrides=(), resume=False, show_progress=show_progress))
            shutil.rmtree(place / "checkpoints", ignore_errors=True)  # nobody goes on with these
        pairs.append((runs[0], runs[1]))
    metric = pairs[0][0].metric
    validation = tuple((_best(a), _best(b)) for a, b in pairs)
    sign = -1 if metric == LOSS else 1
    return Comparison(
        metric=metric,
        seeds=downstream.seeds,
        validation=validation,
        test=tuple((a.test[metric], b.test[metric]) for a, b in pairs if a.test is not None and b.test is not None)
        or None,
        difference=mean_interval([sign * (b - a) for a, b in validation]),
    )


def _with(config: RunConfig, model: ModelConfig, seed: int) -> RunConfig:
    return config.model_copy(
        update={
            "model": model,
            "training": config.training.model_copy(update={"seed": seed}),
            "logging": config.logging.model_copy(update={"report": False}),
        }
    )


def _best(result: TrainingResult) -> float:
    assert result.best is not None  # there are validation data
    return result.best
