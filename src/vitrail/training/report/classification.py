"""Of a classifier: which label it takes for which, how sure it may be believed, and which labels may be wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

BINS = 10
SURE = 0.8
MOST_SUSPECTS = 20
MOST_DRAWN_LABELS = 25


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """By bin of confidence: its mean, the share that is right (NaN where empty), and the share of all rows.

    error: Σ share · |accuracy − confidence|, the expected calibration error ([Naeini 2015]).

    [Naeini 2015]: https://doi.org/10.1609/aaai.v29i1.9602
    """

    confidence: Float[np.ndarray, "bins"]
    accuracy: Float[np.ndarray, "bins"]
    share: Float[np.ndarray, "bins"]

    @property
    def error(self) -> float:
        return float(np.nansum(self.share * np.abs(self.accuracy - self.confidence)))

    @property
    def overconfidence(self) -> float:
        """How much surer the model is than right, on average."""
        return float(np.nansum(self.share * (self.confidence - self.accuracy)))


def calibration(predictions: Sequence[Mapping[str, Any]]) -> Calibration:
    sure = np.array([entry["probabilities"][entry["prediction"]] for entry in predictions])
    right = np.array([entry["prediction"] == entry["gold"] for entry in predictions], dtype=np.float64)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return Calibration(
            confidence=np.bincount(bins, sure, BINS) / counts,
            accuracy=np.bincount(bins, right, BINS) / counts,
            share=counts / max(len(predictions), 1),
        )


def confusion(
    predictions: Sequence[Mapping[str, Any]],
) -> tuple[Int64[np.ndarray, "labels labels"], list[str]]:
    """Counts (labelled, predicted) and the labels; of more than can be drawn, those in the most mistakes."""
    mistakes: dict[str, int] = {}
    for entry in predictions:
        for label in (entry["gold"], entry["prediction"]):
            mistakes[label] = mistakes.get(label, 0) + (entry["gold"] != entry["prediction"])
    kept = sorted(sorted(mistakes, key=lambda label: -mistakes[label])[:MOST_DRAWN_LABELS])
    index = {label: place for place, label in enumerate(kept)}
    counts = np.zeros((len(kept), len(kept)), dtype=np.int64)
    for entry in predictions:
        if entry["gold"] in index and entry["prediction"] in index:
            counts[index[entry["gold"]], index[entry["prediction"]]] += 1
    return counts, kept


def confused_pairs(predictions: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str]]:
    """(how often, labelled, predicted), the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for entry in predictions:
        if entry["gold"] != entry["prediction"]:
            pair = entry["gold"], entry["prediction"]
            counts[pair] = counts.get(pair, 0) + 1
    return sorted(((count, *pair) for pair, count in counts.items()), key=lambda found: (-found[0], found[1:]))


def suspects(predictions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows whose label the model finds least likely while it is sure of another: the label may be the mistake."""
    wrong = [
        entry
        for entry in predictions
        if entry["gold"] != entry["prediction"] and entry["probabilities"][entry["prediction"]] >= SURE
    ]
    return sorted(wrong, key=lambda entry: entry["probabilities"].get(entry["gold"], 0.0))[:MOST_SUSPECTS]
