"""Lines over the steps of a run, one panel for each thing that was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vitrail.pictures.canvas import BLUE, INK, ORANGE, SOFT, figure, save

COLOURS = (ORANGE, BLUE)
Line = Sequence[tuple[float, float]]
"""(step, value)."""


def draw_curves(
    path: Path, panels: Mapping[str, Mapping[str, Line]], *, best: float | None = None, across: str = "step"
) -> Path:
    """panels: title to (name of a line to its points). best: the step that is marked."""
    drawn, axes = figure(4.6 * len(panels), 3.2, columns=len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
            axis.plot(*zip(*points, strict=True), color=colour, label=name, linewidth=1.8, marker="o", markersize=3)
        if best is not None:
            axis.axvline(best, color=INK, linewidth=1, linestyle=":", label=f"best, {across} {best:g}")
        axis.set_title(title, fontsize=10, color=INK)
        axis.set_xlabel(across, fontsize=9)
        axis.grid(axis="y", color=SOFT, alpha=0.3, linewidth=0.6)
        axis.legend(fontsize=8, frameon=False)
    return save(drawn, path)
