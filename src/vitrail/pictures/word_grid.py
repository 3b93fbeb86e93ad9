"""Words in fields, each field as dark as a number between 0 and 1; of many columns some stand below the others."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vitrail.pictures.canvas import INK, ORANGE, save
from vitrail.pictures.glyphs import Measure, writing_of
from vitrail.pictures.paper import paper

# In inches; letters in points.
FIELD, LINE, ROW_NAME, MARGIN, BETWEEN = (1.3, 0.4), 0.16, 1.3, 0.2, 0.25
WORD, SMALL = 9.0, 7.0
COLUMNS, MOST_COLUMNS = 8, 32
"""Beside each other, and in a picture."""


def draw_words(
    path: Path,
    words: Sequence[Sequence[str]],
    values: Float[np.ndarray, "rows columns"],
    *,
    below: Sequence[Sequence[str]],
    marked: Bool[np.ndarray, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[tuple[str, str]],
    said: str,
) -> Path:
    """words, below: of each row, what stands in its fields, large and small. marked: the fields with a frame.

    columns: of each, a name and a text of a few words above it. said: what must be known; it stands at the bottom.
    """
    shown = min(len(columns), MOST_COLUMNS)
    if shown < len(columns):
        said = f"The first {shown} of {len(columns):,}. {said}"
    writing = writing_of([*(word for row in words for word in row), *(part for column in columns for part in column)])
    large, small = Measure(writing, WORD), Measure(writing, SMALL)
    across = min(shown, COLUMNS)
    width = ROW_NAME + max(across, 3) * FIELD[0] + 2 * MARGIN
    notes = small.lines(" ".join(words for words in (said, writing.said) if words), width - 2 * MARGIN)
    heads = [
        [small.fitting(name, FIELD[0] - 0.1), *small.lines(text, FIELD[0] - 0.1)] for name, text in columns[:shown]
    ]
    over, tall = LINE * max(map(len, heads)) + 0.06, FIELD[1] * len(rows)
    blocks = [range(start, min(start + COLUMNS, shown)) for start in range(0, shown, COLUMNS)]
    height = len(blocks) * (over + tall + BETWEEN) + LINE * len(notes) + 2 * MARGIN
    drawn = paper(width, height)
    top = height - MARGIN
    for block in blocks:
        top -= over + tall
        box = (MARGIN + ROW_NAME, top, len(block) * FIELD[0], tall)
        axis = drawn.add_axes([inches / side for inches, side in zip(box, (width, height) * 2, strict=True)])
        _fields(axis, values[:, block], marked[:, block])
        for row, name in enumerate(rows):
            _write(axis, -0.56, float(row), small.fitting(name, ROW_NAME), small, ha="right")
            for place, column in enumerate(block):
                colour = "white" if values[row, column] > 0.6 else INK
                word = large.fitting(words[row][column], FIELD[0] - 0.12)
                _write(axis, float(place), row - 0.12, word, large, color=colour)
                _write(axis, float(place), row + 0.29, below[row][column], small, color=colour)
        for place, column in enumerate(block):
            for number, line in enumerate(reversed(heads[column])):
                y = -0.5 - (LINE * (number + 0.5) + 0.04) / FIELD[1]
                _write(axis, float(place), y, line, small)
        top -= BETWEEN
    for number, line in enumerate(notes):
        y = (top - LINE * (number + 0.5)) / height
        families = list(writing.families)
        drawn.text(MARGIN / width, y, line, size=SMALL, color=INK, va="center", family=families, parse_math=False)
    return save(drawn, path)


def _fields(axis: Any, values: Float[np.ndarray, "rows columns"], marked: Bool[np.ndarray, "rows columns"]) -> None:
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    patches = import_module("matplotlib.patches")
    for row, column in np.ndindex(*values.shape):
        frame = {"edgecolor": ORANGE, "linewidth": 1.8} if marked[row, column] else {"edgecolor": "white"}
        axis.add_patch(patches.Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, **frame))


def _write(axis: Any, x: float, y: float, text: str, measure: Measure, *, ha: str = "center", color: str = INK) -> None:
    axis.text(x, y, text, ha=ha, va="center", size=measure.size, color=color, family=measure.families, parse_math=False)
