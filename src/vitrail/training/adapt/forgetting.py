"""What an adapted model forgot: how well the cosines of its vectors rank pairs of general text, beside before.

Spearman's correlation with the scores people gave, as for the STS benchmark.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail.api import Encoder
from vitrail.errors import TrainingError
from vitrail.intervals import Interval, bootstrap
from vitrail.tasks import TASKS
from vitrail.tasks.metrics import spearman
from vitrail.training.datasets import DataConfig, read_data


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """pairs: how many. difference: adapted less unadapted, on the same draws of the pairs."""

    pairs: int
    unadapted: Interval
    adapted: Interval
    difference: Interval

    def facts(self) -> dict[str, Any]:
        return (
            {"pairs": self.pairs}
            | {
                name: {"spearman": found.mean, "low": found.low, "high": found.high}
                for name, found in (("unadapted", self.unadapted), ("adapted", self.adapted))
            }
            | {"difference": asdict(self.difference)}
        )


def measure_forgetting(unadapted: Encoder, adapted: Encoder, config: DataConfig, *, offline: bool) -> Forgetting:
    """Both on the scored pairs of `config.train`."""
    rows = read_data(config, TASKS["embedding"].roles, offline=offline).train
    if any(row.get("score") is None or row.get("text_pair") is None for row in rows):
        raise TrainingError("forgetting is measured on scored pairs; its data must have text, text_pair and score")
    wanted = np.array([row["score"] for row in rows], dtype=np.float64)
    after, before = (_cosines(encoder, rows) for encoder in (adapted, unadapted))
    (of_adapted, of_unadapted), (difference,) = bootstrap(
        len(rows),
        lambda chosen: spearman(after[chosen], wanted[chosen]),
        lambda chosen: spearman(before[chosen], wanted[chosen]),
    )
    return Forgetting(pairs=len(rows), unadapted=of_unadapted, adapted=of_adapted, difference=difference)


def _cosines(encoder: Encoder, rows: Sequence[dict[str, Any]]) -> Float[np.ndarray, " pairs"]:
    first, second = (
        encoder.embed([row[role] for row in rows], normalize=True, show_progress=False)
        for role in ("text", "text_pair")
    )
    return (first * second).sum(1).astype(np.float64)
