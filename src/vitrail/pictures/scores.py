"""Scores of several ways to do the same, each with its interval."""

from collections.abc import Mapping
from pathlib import Path

from vitrail.intervals import Interval
from vitrail.pictures.canvas import BLUE, INK, SOFT, figure, save, shortened


def draw_scores(path: Path, scores: Mapping[str, Interval], *, title: str) -> Path:
    """One line for each name, the first on top and in colour."""
    drawn, (axis,) = figure(6.4, 0.9 + 0.42 * len(scores))
    for place, each in enumerate(scores.values()):
        colour = BLUE if place == 0 else SOFT
        axis.plot([each.low, each.high], [place, place], color=colour, linewidth=3, solid_capstyle="butt", alpha=0.6)
        axis.plot([each.mean], [place], color=colour, marker="o", markersize=6)
        axis.annotate(
            f"{each.mean:.3f}", (each.mean, place), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set_yticks(range(len(scores)), [shortened(name) for name in scores], fontsize=9)
    axis.set_ylim(len(scores) - 0.4, -0.7)
    axis.margins(x=0.08)
    axis.grid(axis="x", color=SOFT, alpha=0.3, linewidth=0.6)
    axis.set_title(title, fontsize=10, color=INK)
    return save(drawn, path)
