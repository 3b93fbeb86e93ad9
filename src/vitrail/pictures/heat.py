"""Squares of colour: a map with tokens on both sides, a grid of small maps, a value for each layer and token."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from vitrail.pictures.canvas import INK, SOFT
from vitrail.pictures.glyphs import writing_of
from vitrail.pictures.paper import paper

# Of the labels of a side; of more tokens some are left out, and of long ones the end.
MOST_LABELS = 64
LONGEST_LABEL = 16


def draw_map(
    weights: Float[np.ndarray, "rows columns"], rows: Sequence[str], columns: Sequence[str], *, title: str
) -> Any:
    """One head: rows are the tokens that look, columns those they look at. Returns a figure of matplotlib."""
    side = float(np.clip(0.24 * max(len(rows), len(columns)), 3.0, 11.0))
    drawn, said = _figure(side + 2.2, side + 1.6, [*rows, *columns])
    axis = drawn.subplots()
    picture = axis.imshow(weights, cmap="Blues", norm=_root(weights))
    left_out = _label(axis, "x", columns, side)
    _label(axis, "y", rows, side)
    axis.set_xlabel("looked at", fontsize=9)
    axis.set_ylabel("looking", fontsize=9)
    axis.set_title(title, fontsize=10, color=INK)
    bar = drawn.colorbar(picture, ax=axis, shrink=0.7)
    bar.set_label("attention weight (colours: its root)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _caption(drawn, " ".join(words for words in (left_out, said) if words))
    return drawn


def draw_grid(
    maps: Float[np.ndarray, "layers heads side side"], *, title: str, said: str | None = None, layers: Sequence[int]
) -> Any:
    """A row for each layer, a thumbnail for each head; each as strong as the root of its weights."""
    count, heads = maps.shape[:2]
    size = float(np.clip(9.0 / max(heads, 1), 0.45, 1.4))
    drawn, _ = _figure(size * heads + 0.9, size * count + 1.1, [title])
    axes = drawn.subplots(count, heads, squeeze=False)
    for row, some in enumerate(axes):
        for head, axis in enumerate(some):
            axis.imshow(np.sqrt(maps[row, head]), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color(SOFT)
            axis.spines[:].set_linewidth(0.4)
            if row == 0:
                axis.set_title(str(head), fontsize=7, color=INK, pad=2)
        some[0].set_ylabel(str(layers[row]), fontsize=7, rotation=0, ha="right", va="center")
    drawn.supylabel("layer", fontsize=9)
    drawn.suptitle(f"{title}\nhead", fontsize=9)
    _caption(drawn, said)
    return drawn


def draw_layers(values: Float[np.ndarray, "layers tokens"], tokens: Sequence[str], *, title: str, value: str) -> Any:
    """A row for each layer, the last on top as in a model drawn upwards."""
    across = float(np.clip(0.26 * len(tokens), 3.4, 15.0))
    drawn, said = _figure(across + 1.8, 0.26 * len(values) + 2.2, tokens)
    axis = drawn.subplots()
    picture = axis.imshow(values, cmap="Blues", norm=_root(values), aspect="auto", origin="lower")
    left_out = _label(axis, "x", tokens, across)
    axis.set_yticks(range(len(values)), range(len(values)), fontsize=7)
    axis.set_ylabel("layer", fontsize=9)
    axis.set_title(title, fontsize=10, color=INK)
    bar = drawn.colorbar(picture, ax=axis)
    bar.set_label(f"{value} (colours: its root)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _caption(drawn, " ".join(words for words in (left_out, said) if words))
    return drawn


def _figure(width: float, height: float, texts: Sequence[str]) -> tuple[Any, str | None]:
    """(an empty figure, what must be said of its texts)."""
    drawn = paper(width, height, layout="constrained")
    return drawn, writing_of(texts).said


def _root(values: np.ndarray) -> Any:
    """Colours as strong as the root: a weight of 0.05 is not lost beside one of 0.9."""
    return import_module("matplotlib.colors").PowerNorm(0.5, vmin=0, vmax=max(float(values.max(initial=0.0)), 1e-9))


def _label(axis: Any, side: str, labels: Sequence[str], inches: float) -> str | None:
    """Write the labels beside an axis; what must be said where some are left out."""
    writing = writing_of(labels)
    shown = [writing.of(label) for label in labels]
    shown = [label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…" for label in shown]
    step = -(-len(labels) // MOST_LABELS)
    size = float(np.clip(inches / max(len(labels) // step, 1) * 42, 5.0, 9.0))
    places = range(0, len(labels), step)
    ticks = axis.set_xticks if side == "x" else axis.set_yticks
    options = {"rotation": 90} if side == "x" and len(labels) > 1 else {}
    ticks(
        places,
        shown[::step],
        fontsize=size,
        fontfamily=list(writing.families),
        parse_math=False,
        **options,
    )
    return None if step == 1 else f"One token in {step} is labelled."


def _caption(drawn: Any, said: str | None) -> None:
    """What must be said, under the picture, in lines that fit it."""
    if said:
        wrapped = import_module("textwrap").fill(said, max(30, int(drawn.get_figwidth() * 13)))
        drawn.supxlabel(wrapped, fontsize=7, color=INK, ha="left", x=0.01)


def thumbnails_of(weights: Shaped[np.ndarray, "heads rows columns"], side: int) -> Float[np.ndarray, "heads side side"]:
    """The largest weight of each block, in at most side × side blocks."""
    block = max(1, -(-weights.shape[-1] // side))
    short = -weights.shape[-1] % block
    padded = np.pad(weights, ((0, 0), (0, short), (0, short)))
    blocks = padded.shape[-1] // block
    return padded.reshape(len(weights), blocks, block, blocks, block).max((2, 4)).astype(np.float64)
