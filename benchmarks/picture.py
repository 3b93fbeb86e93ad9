"""One picture: a bar for each contestant, its length the tokens per second. Plain SVG, so that every page shows it and
the same results give the same bytes.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.contestants import OURS
from benchmarks.rounds import Result

_WIDTH, _NAMES, _ROW, _BAR = 760, 230, 24, 16
_OURS_COLOUR, _RIVAL_COLOUR = "#2a6f97", "#b8bfc6"


def bars(results: Sequence[Result]) -> str:
    """The results in the given order, one row each."""
    most = max((result["tokens_per_second"] for result in results), default=1.0)
    height = _ROW * (len(results) + 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="{_ROW - 6}" font-weight="bold">tokens per second, text to vectors, MiniLM-L6, CPU</text>',
    ]
    for row, result in enumerate(results, start=1):
        name, rate = result["contestant"], result["tokens_per_second"]
        ours = name.split()[0] == OURS
        length, top = (_WIDTH - _NAMES - 80) * rate / most, row * _ROW + 6
        middle = top + _BAR - 4
        lines += [
            f'<text x="{_NAMES - 8}" y="{middle}" text-anchor="end">{escape(_shown(name, result))}</text>',
            f'<rect x="{_NAMES}" y="{top}" width="{length:.1f}" height="{_BAR}" '
            f'fill="{_OURS_COLOUR if ours else _RIVAL_COLOUR}"/>',
            f'<text x="{_NAMES + length + 6:.1f}" y="{middle}">{rate:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _shown(name: str, result: Result) -> str:
    return name if result["precision"] in name else f"{name} {result['precision']}"
