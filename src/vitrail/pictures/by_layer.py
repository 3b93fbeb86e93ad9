"""What was measured of every layer, with its intervals: lines from layer to layer, one panel for each thing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vitrail.intervals import Interval
from vitrail.pictures.canvas import BLUE, INK, ORANGE, SOFT, figure, save


def draw_by_layer(
    path: Path,
    layers: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[Interval]]],
    *,
    levels: Mapping[str, tuple[str, float]],
    said: str,
) -> Path:
    """panels: what was measured to (name of a line to its interval in every layer). levels: of a panel, a name and a
    number that is no layer's, drawn across. said: what must be known; it stands below.
    """
    width = max(3.6, 0.3 * len(layers) + 1.2)
    drawn, axes = figure(width * len(panels), 3.8, columns=len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        places = np.arange(len(layers))
        for (colour, style), (name, intervals) in zip(((BLUE, "-"), (ORANGE, "--")), lines.items(), strict=False):
            middle, low, high = ([getattr(each, end) for each in intervals] for end in ("mean", "low", "high"))
            axis.plot(places, middle, style, color=colour, label=name, linewidth=1.8, marker="o", markersize=3)
            axis.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        name, level = levels[title]
        axis.axhline(level, color=INK, linewidth=1, linestyle=":", label=name)
        axis.set_xticks(places, layers, rotation=45, ha="right")
        axis.set_ylabel(title, fontsize=9)
        axis.grid(axis="y", color=SOFT, alpha=0.3, linewidth=0.6)
        axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    drawn.supxlabel(said, fontsize=8, color=INK)
    return save(drawn, path)
