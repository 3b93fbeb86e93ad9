"""An empty picture, its colours, and labels that its font can write.

A figure is made without pyplot, so nothing is kept beyond it and no display is needed.
"""

import re
import unicodedata
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

INK, SOFT = "#222222", "#9a9a9a"
BLUE, ORANGE = "#2f6fb0", "#d9822b"
# The common families that hold Chinese, Japanese and Korean characters.
WIDE_FONTS = (
    "Noto Sans CJK",
    "Source Han",
    "WenQuanYi",
    "PingFang",
    "Hiragino",
    "SimHei",
    "Microsoft YaHei",
    "Droid Sans Fallback",
)
WIDE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
LONGEST_LABEL = 30


def figure(width: float, height: float, *, texts: Sequence[str] = (), columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure in inches, and its axes side by side. texts: what will be written, for the choice of a font."""
    drawn = import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained", dpi=130)
    axes = list(drawn.subplots(1, columns, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, color=SOFT)
    if wide_font() and any(WIDE.search(text) for text in texts):
        import_module("matplotlib").rcParams["font.sans-serif"] = [wide_font(), "DejaVu Sans"]
    return drawn, axes


def wide_font() -> str | None:
    """An installed family with Chinese characters."""
    fonts = import_module("matplotlib.font_manager").fontManager.ttflist
    names = sorted({font.name for font in fonts})
    return next((name for start in WIDE_FONTS for name in names if name.startswith(start)), None)


def readable(labels: Sequence[str]) -> tuple[list[str], str | None]:
    """The labels as they can be drawn, and what must be said beside the picture.

    Where no font holds their characters, labels become numbers: an empty box would say nothing.
    """
    if wide_font() is None and any(WIDE.search(label) for label in labels):
        legend = ", ".join(f"{number} = {label}" for number, label in enumerate(labels, start=1))
        words = f"No font here has these characters, so labels are numbers: {legend}. Noto Sans CJK has them."
        return [str(number) for number in range(1, len(labels) + 1)], words
    return [shortened(label) for label in labels], None


def shortened(label: str) -> str:
    """Cut in the middle: labels that begin alike often end otherwise."""
    plain = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in label).replace("$", "\\$")
    if len(plain) <= LONGEST_LABEL:
        return plain
    return f"{plain[: LONGEST_LABEL // 2]}…{plain[-LONGEST_LABEL // 2 + 1 :]}"


def save(drawn: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, facecolor="white")
    return path
