"""Texts whose words are coloured by numbers, as text that wraps: orange for, blue against.

Words are placed one by one, in the order in which their script is read; letters inside a word are joined by matplotlib
where it can, and the colours of its parts lie behind it.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby
from typing import Any

from vitrail.pictures.canvas import INK
from vitrail.pictures.glyphs import Measure, from_the_right, writing_of
from vitrail.pictures.paper import paper

WIDTH, MARGIN, LINE, SIZE = 9.0, 0.25, 0.34, 12.0
# Of the strongest: a number below it that is against the target is not underlined.
FAINT = 0.05
MORE, LESS = (0.91, 0.50, 0.12), (0.16, 0.43, 0.78)
# A longer text is cut: a picture is looked at, the page and the numbers have it all.
MOST_LINES = 60


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One heading over texts, each a list of (piece of text, its number as a share of the strongest, −1 … 1)."""

    title: str
    texts: Sequence[Sequence[tuple[str, float]]]
    said: str


def draw_coloured_texts(panels: Sequence[Panel]) -> Any:
    """All panels, one under the other. Returns a figure of matplotlib."""
    everything = [piece for panel in panels for text in panel.texts for piece, _ in text]
    writing = writing_of([*everything, *(panel.title for panel in panels)])
    measure = Measure(writing, SIZE)
    lines: list[tuple[str, Any]] = []
    for panel in panels:
        lines += [("title", part) for part in textwrap.wrap(writing.of(panel.title), 80)[:3]]
        lines += [("said", part) for part in textwrap.wrap(writing.of(panel.said), 145)]
        for text in panel.texts:
            placed = _wrapped(list(text), measure)
            lines += [("text", line) for line in placed[:MOST_LINES]]
            if len(placed) > MOST_LINES:
                lines.append(("said", f"… cut after {MOST_LINES} lines; the page (.html) has the whole text"))
            lines.append(("gap", None))
    if writing.said:
        lines += [("said", part) for part in textwrap.wrap(writing.said, 145)]
    heights = {"title": LINE, "said": 0.2, "text": LINE, "gap": 0.14}
    height = sum(heights[kind] for kind, _ in lines) + 2 * MARGIN
    drawn = paper(WIDTH, height)
    top = height - MARGIN
    for kind, line in lines:
        y = (top - heights[kind] / 2) / height
        top -= heights[kind]
        if kind == "text":
            for left, unit in line:
                _paint(drawn, left, y, LINE * 0.86 / height, unit, measure)
        elif kind != "gap":
            size, colour, weight = (11, INK, "bold") if kind == "title" else (7.5, INK, "normal")
            drawn.text(
                MARGIN / WIDTH,
                y,
                line,
                size=size,
                color=colour,
                weight=weight,
                va="center",
                family=measure.families,
                parse_math=False,
            )
    return drawn


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """Pieces that are drawn as one text, so that their letters join: a word, or the blanks between two."""

    pieces: tuple[tuple[str, float], ...]
    from_right: bool

    @property
    def text(self) -> str:
        return "".join(piece for piece, _ in self.pieces)


def _wrapped(text: list[tuple[str, float]], measure: Measure) -> list[list[tuple[float, _Unit]]]:
    """Lines of (left edge in inches, unit). A word that is wider than a line is cut."""
    room, lines, used = WIDTH - 2 * MARGIN, [[]], 0.0  # type: ignore[var-annotated]
    base = from_the_right("".join(piece for piece, _ in text))
    for unit in _units(text, base):
        for part in _cut(unit, room, measure):
            width = measure(part.text)
            if used + width > room and lines[-1]:
                lines.append([])
                used = 0.0
                if not part.text.strip():
                    continue
            lines[-1].append(part)
            used += width
    return [_placed(line, base, measure) for line in lines]


def _units(text: list[tuple[str, float]], base: bool) -> list[_Unit]:
    found = []
    for blank, some in groupby(text, key=lambda pair: not pair[0].strip()):
        pieces = tuple(some)
        letters = "".join(piece for piece, _ in pieces)
        found.append(_Unit(pieces=pieces, from_right=base if blank else from_the_right(letters, otherwise=base)))
    for place in range(1, len(found) - 1):  # blanks between two words go with them
        before, unit, after = found[place - 1 : place + 2]
        if not unit.text.strip() and before.from_right == after.from_right:
            found[place] = replace(unit, from_right=before.from_right)
    return found


def _placed(line: list[_Unit], base: bool, measure: Measure) -> list[tuple[float, _Unit]]:
    """In the order in which they are seen: runs against the direction of the text are turned round."""
    seen: list[_Unit] = []
    for from_right, run in groupby(line, key=lambda unit: unit.from_right):
        some = list(run)
        seen += some if from_right == base else some[::-1]
    if base:
        seen.reverse()
    widths = [measure(unit.text) for unit in seen]
    left, placed = (WIDTH - MARGIN - sum(widths)) if base else MARGIN, []
    for unit, width in zip(seen, widths, strict=True):
        placed.append((left, unit))
        left += width
    return placed


def _cut(unit: _Unit, room: float, measure: Measure) -> list[_Unit]:
    if measure(unit.text) <= room:
        return [unit]
    pieces = unit.pieces
    if len(pieces) == 1:
        (piece, share), middle = pieces[0], len(pieces[0][0]) // 2
        pieces = ((piece[:middle], share), (piece[middle:], share))
    halves = (pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :])
    return [part for half in halves for part in _cut(replace(unit, pieces=half), room, measure)]


def _paint(drawn: Any, left: float, y: float, height: float, unit: _Unit, measure: Measure) -> None:
    """y, height: as a share of the figure's."""
    patches, lines = import_module("matplotlib.patches"), import_module("matplotlib.lines")
    whole, before = measure(unit.text), ""
    for piece, share in unit.pieces:
        start, end = measure(before), measure(before + piece)
        before += piece
        if not share or not piece.strip():
            continue
        x = (left + (whole - end if unit.from_right else start)) / WIDTH
        width, colour = (end - start) / WIDTH, MORE if share > 0 else LESS
        strength = 0.7 * min(1.0, abs(share))
        box = patches.Rectangle((x, y - height / 2), width, height, color=(*colour, strength), linewidth=0)
        drawn.add_artist(box)
        if share < -FAINT:
            y_below = [y - 0.45 * height] * 2
            drawn.add_artist(lines.Line2D([x, x + width], y_below, color=LESS, linewidth=0.9, linestyle=(0, (3, 2))))
    at, families = left / WIDTH, measure.families
    text = measure.writing.of(unit.text)
    drawn.text(at, y, text, size=SIZE, color=INK, va="center_baseline", family=families, parse_math=False)
