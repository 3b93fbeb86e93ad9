"""How often a model is right when it says how sure it is."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitrail.pictures.canvas import BLUE, INK, SOFT, figure, save


def draw_reliability(
    path: Path,
    *,
    confidence: Float[np.ndarray, "bins"],
    accuracy: Float[np.ndarray, "bins"],
    share: Float[np.ndarray, "bins"],
    error: float,
) -> Path:
    """Bins of equal width over 0 … 1: their mean confidence, accuracy (NaN where empty) and share of the rows."""
    drawn, (left, right) = figure(8.0, 3.4, columns=2)
    filled = share > 0
    left.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1, label="as sure as it is right")
    left.plot(confidence[filled], accuracy[filled], color=BLUE, marker="o", markersize=4, label="this model")
    left.set(xlim=(0, 1.02), ylim=(0, 1.02))
    left.set_xlabel("confidence", fontsize=9)
    left.set_ylabel("share that is right", fontsize=9)
    left.set_title(f"expected calibration error {error:.3f}", fontsize=10, color=INK)
    left.legend(fontsize=8, frameon=False, loc="upper left")
    edges = np.linspace(0, 1, len(share) + 1)
    right.bar(edges[:-1], share, width=np.diff(edges), align="edge", color=BLUE, alpha=0.6, edgecolor="white")
    right.set(xlim=(0, 1.02), ylim=(0, 1.02))
    right.set_xlabel("confidence", fontsize=9)
    right.set_ylabel("share of the rows", fontsize=9)
    right.set_title("how sure it was", fontsize=10, color=INK)
    return save(drawn, path)
