"""Which label was taken for which: a square of counts, rows what is right, columns what was said."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from vitrail.pictures.canvas import figure, readable, save
from vitrail.pictures.glyphs import writing_of

MOST_NUMBERS = 25
"""Labels up to which the counts are written into their squares."""


def draw_confusion(
    path: Path,
    counts: Int64[np.ndarray, "labels labels"],
    labels: Sequence[str],
    *,
    totals: Int64[np.ndarray, " labels"],
) -> tuple[Path, str | None]:
    """The picture, and what must be said beside it. Numbers are counts; colours, shares of the label's `totals`."""
    writing = writing_of(labels)
    shown, said = readable(labels, writing)
    side = max(3.6, 0.34 * len(labels) + 2.2)
    drawn, (axis,) = figure(side + 0.8, side)
    shares = counts / np.maximum(totals, 1)[:, None]
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places, fonts = range(len(labels)), {"fontsize": 7, "fontfamily": list(writing.families)}
    axis.set_xticks(places, shown, rotation=90 if max(map(len, shown)) > 3 else 0, **fonts)
    axis.set_yticks(places, shown, **fonts)
    axis.set_xlabel("predicted", fontsize=9)
    axis.set_ylabel("labelled", fontsize=9)
    if len(labels) <= MOST_NUMBERS:
        for row in places:
            for column in places:
                if counts[row, column]:
                    colour = "white" if shares[row, column] > 0.5 else "#333333"
                    size = 7 if counts.max() < 1000 else 6
                    axis.text(column, row, f"{counts[row, column]}", ha="center", va="center", size=size, color=colour)
    bar = drawn.colorbar(picture, ax=axis, shrink=0.7)
    bar.set_label("share of the labelled", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return save(drawn, path), said
