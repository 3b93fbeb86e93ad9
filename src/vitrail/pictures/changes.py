"""How far two models that come from each other are apart: weights part by part, layers, and heads."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail.pictures.canvas import BLUE, INK, ORANGE, figure, save
from vitrail.pictures.matrix import fields


def draw_changes(
    path: Path,
    parts: Mapping[str, float | None],
    similarity: Float[np.ndarray, "rows columns"],
    names: tuple[Sequence[str], Sequence[str]],
    *,
    heads: Float[np.ndarray, "layers heads"] | None,
    said: str,
) -> Path:
    """parts: name to how far its weights moved, None where they cannot be compared. similarity: CKA of every layer
    before (names[0]) with every one after. heads: how far their attention moved, 0 … 1. said: it stands below.
    """
    widths = [4.4, 0.45 * similarity.shape[1] + 1.9]
    height = max(0.3 * len(parts), 0.45 * len(similarity) + 0.8) + 1.3
    if heads is not None:
        widths.append(0.45 * heads.shape[1] + 1.2)
    widths = [max(width, 2.8) for width in widths]
    drawn, axes = figure(sum(widths), max(height, 3.6), columns=len(widths), widths=widths)
    _bars(axes[0], parts)
    fields(axes[1], similarity, *names)
    axes[1].set_title("CKA: before (rows), after", fontsize=10, color=INK)
    if heads is not None:
        layers, count = heads.shape
        fields(axes[2], heads, [f"layers.{layer}" for layer in range(layers)], [str(head) for head in range(count)])
        axes[2].tick_params(axis="x", labelrotation=0)
        axes[2].set_title("attention moved, by head", fontsize=10, color=INK)
    wrapped = import_module("textwrap").fill(said, int(sum(widths) * 14))
    drawn.supxlabel(wrapped, fontsize=8, color=INK)
    return save(drawn, path)


def _bars(axis: Any, parts: Mapping[str, float | None]) -> None:
    """The first part on top. Of one that was nothing before, a full bar; of one that cannot be compared, words."""
    known = [change for change in parts.values() if change is not None and math.isfinite(change)]
    most = max(known, default=0.0) or 1.0
    for place, change in enumerate(parts.values()):
        if change is None:
            axis.text(0, place, " not to be compared", va="center", fontsize=8, color=ORANGE)
            continue
        finite = math.isfinite(change)
        axis.barh(place, math.sqrt(min(change, most)), color=BLUE if finite else ORANGE, height=0.7)
        shown = f" {change:.4f}" if finite else " from 0"
        axis.text(math.sqrt(min(change, most)), place, shown, va="center", fontsize=8, color=INK)
    axis.set_yticks(range(len(parts)), list(parts))
    axis.spines["bottom"].set_visible(False)
    axis.set(xticks=[], xlim=(0, 1.3 * math.sqrt(most)), ylim=(len(parts) - 0.4, -0.6))
    axis.set_title("weights changed by (bars: its root)", fontsize=10, color=INK)
