"""Which of the fonts of this machine write a text, and what none of them has.

A character without a glyph would become an empty box that says nothing, or a wrong one; so it is drawn as ▯ and named
in the caption.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from vitrail.pictures.paper import DPI, paper

ABSENT = "▯"
FIRST = "DejaVu Sans"
# These map every character to a box, or have pictures in colours that matplotlib cannot draw.
_NO_FONTS = ("Last Resort", "Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji", "Twemoji")
_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Writing:
    """families: for matplotlib, the first that has a character writes it. absent: characters that none has.

    said: what must stand beside the picture; None where all is drawn as it is.
    """

    families: tuple[str, ...]
    absent: frozenset[str]
    said: str | None

    def of(self, text: str) -> str:
        """The text as it can be drawn, on one line."""
        return "".join(ABSENT if sign in self.absent else _drawn(sign) for sign in text)


def writing_of(texts: Iterable[str]) -> Writing:
    """The fonts found here for the characters of these texts; few when DejaVu Sans, matplotlib's own, has them all."""
    wanted = {sign for text in texts for sign in text if not _unseen(sign) and unicodedata.category(sign)[0] != "C"}
    families, absent = [FIRST], wanted - _has(_file_of(FIRST))
    if absent:
        for name, file in sorted(_installed().items(), key=lambda pair: (not pair[0].startswith("Noto Sans"), pair)):
            found = absent & _has(file)
            if found:
                families.append(name)
                absent = absent - found
            if not absent:
                break
    said = []
    if absent:
        names = (f"{unicodedata.name(sign, 'a sign').lower()} (U+{ord(sign):04X})" for sign in sorted(absent))
        named = ", ".join(list(names)[:_MOST_NAMED])
        more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
        said.append(f"{ABSENT}: no font found here has {named}{more}.")
    if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in wanted) and not _shapes():
        said.append("This matplotlib neither joins nor orders letters written from the right.")
    return Writing(families=tuple(families), absent=frozenset(absent), said=" ".join(said) or None)


class Measure:
    """Widths of pieces of text in inches, as they will be drawn in letters of one size."""

    def __init__(self, writing: Writing, size: float):
        self.writing, self.size = writing, size
        self.families = list(writing.families)
        self._figure = paper(1.0, 1.0)
        self._renderer = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(self._figure).get_renderer()
        self._bars = self._pixels("||")

    def __call__(self, text: str) -> float:
        text = self.writing.of(text)
        if not text:
            return 0.0
        # a blank at the end has no ink, so it is measured between two letters
        return (self._pixels(f"|{text}|") - self._bars) / DPI

    def fitting(self, text: str, inches: float) -> str:
        """The text, its end cut where it is wider."""
        shown = self.writing.of(text)
        # a letter is about as wide as it is high, so that most words need not be measured
        if len(shown) * self.size / 60 <= inches or self(shown) <= inches:
            return shown
        while shown and self(f"{shown}…") > inches:
            shown = shown[:-1]
        return f"{shown}…"

    def lines(self, text: str, inches: float) -> list[str]:
        """The text in lines that are no wider; a word that is wider than a line is cut."""
        found = [""]
        for word in re.findall(r"\s*\S+", self.writing.of(text)):
            for part in [word] if self(word.strip()) <= inches else word:
                if self(f"{found[-1]}{part}".strip()) > inches:
                    found.append("")
                found[-1] += part
        return [line.strip() for line in found]

    def _pixels(self, text: str) -> float:
        drawn = self._figure.text(0, 0, text, size=self.size, family=self.families, parse_math=False)
        width = float(drawn.get_window_extent(self._renderer).width)
        drawn.remove()
        return width


def from_the_right(text: str, *, otherwise: bool = False) -> bool:
    """Whether the first letter with a direction is of a script written from right to left; `otherwise` without one."""
    strong = (kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL"))
    first = next(strong, None)
    return otherwise if first is None else first != "L"


def _drawn(sign: str) -> str:
    if _unseen(sign):
        return ""
    return " " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign


def _unseen(sign: str) -> bool:
    """Joiners and variation selectors: they change their neighbours and have no shape."""
    return unicodedata.category(sign) == "Cf" or "\ufe00" <= sign <= "\ufe0f"


def _shapes() -> bool:
    return hasattr(import_module("matplotlib.ft2font"), "__libraqm_version__")


@lru_cache(maxsize=64)
def _has(file: str) -> frozenset[str]:
    font = import_module("matplotlib.font_manager").get_font(file)
    return frozenset(map(chr, font.get_charmap()))


def _file_of(family: str) -> str:
    return str(import_module("matplotlib.font_manager").findfont(family))


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    """A file of each family that is upright and of ordinary weight."""
    fonts = import_module("matplotlib.font_manager").fontManager.ttflist
    found: dict[str, str] = {}
    for font in fonts:
        ordinary = font.style == "normal" and str(font.weight) in ("400", "normal", "regular", "500")
        if ordinary and not font.name.startswith((*_NO_FONTS, "cm", "STIX")):
            found.setdefault(font.name, font.fname)
    return found
