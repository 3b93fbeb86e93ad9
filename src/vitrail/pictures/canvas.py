"""An empty picture, its colours, and labels that its font can write."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitrail.pictures.glyphs import Writing
from vitrail.pictures.paper import paper

INK, SOFT = "#222222", "#9a9a9a"
BLUE, ORANGE = "#2f6fb0", "#d9822b"
LONGEST_LABEL = 30
PICTURES = (".png", ".svg", ".pdf")


def figure(
    width: float,
    height: float,
    *,
    columns: int = 1,
    widths: Sequence[float] | None = None,
) -> tuple[Any, list[Any]]:
    """A figure in inches, and its axes side by side. widths: of the axes, in parts; None where all are alike."""
    drawn = paper(width, height, layout="constrained")
    axes = list(drawn.subplots(1, columns, squeeze=False, width_ratios=widths)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, color=SOFT)
    return drawn, axes


def readable(labels: Sequence[str], writing: Writing) -> tuple[list[str], str | None]:
    """The labels as they can be drawn, and what must be said beside the picture.

    Where no font has one of their characters, labels become numbers: two that are boxes could not be told apart.
    """
    if writing.absent:
        legend = ", ".join(f"{number} = {label}" for number, label in enumerate(labels, start=1))
        words = f"No font here has all of their characters, so labels are numbers: {legend}. The Noto fonts have them."
        return [str(number) for number in range(1, len(labels) + 1)], words
    return [shortened(label) for label in labels], writing.said


def shortened(label: str) -> str:
    """Cut in the middle: labels that begin alike often end otherwise."""
    plain = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in label).replace("$", "\\$")
    if len(plain) <= LONGEST_LABEL:
        return plain
    return f"{plain[: LONGEST_LABEL // 2]}…{plain[-LONGEST_LABEL // 2 + 1 :]}"


def save(drawn: Any, path: Path) -> Path:
    """Write a file of the kind its name says. ValueError for a kind that a picture cannot be."""
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"cannot tell what {path.name!r} shall be; end its name in {', '.join(PICTURES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, facecolor="white")
    return path
