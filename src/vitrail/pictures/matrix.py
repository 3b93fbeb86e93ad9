"""Numbers between 0 and 1 in a square, each written in its field."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail.pictures.canvas import INK, figure, save

# Beyond it the numbers would not fit into their fields.
MOST_WRITTEN = 16


def draw_matrix(
    path: Path, values: Float[np.ndarray, "rows columns"], rows: Sequence[str], columns: Sequence[str], *, said: str
) -> Path:
    """said: what the numbers are; it stands below."""
    side = 0.5 * max(len(rows), len(columns))
    drawn, (axis,) = figure(min(max(side + 2.2, 5.0), 14.0), min(max(side + 1.2, 4.0), 13.0))
    fields(axis, values, rows, columns)
    axis.set_xlabel(said, fontsize=8, color=INK)
    return save(drawn, path)


def fields(axis: Any, values: Float[np.ndarray, "rows columns"], rows: Sequence[str], columns: Sequence[str]) -> None:
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axis.set_yticks(range(len(rows)), rows)
    if max(len(rows), len(columns)) <= MOST_WRITTEN:
        for row, column in np.ndindex(*values.shape):
            value = float(values[row, column])
            colour = "white" if value > 0.6 else INK
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
