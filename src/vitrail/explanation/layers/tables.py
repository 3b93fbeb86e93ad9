"""Rows of text under each other, for a terminal, and a stretch of a text in what stands around it."""

from collections.abc import Sequence

from vitrail.explanation.spans import whole_characters

# Characters on either side.
AROUND = 24


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = []
    for row in [head, *rows]:
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def in_context(text: str, start: int, end: int) -> str:
    """text[start:end] between brackets, on one line, with a sign where the text goes on."""
    first, last = whole_characters(text, max(0, start - AROUND), min(len(text), end + AROUND))
    before, after = "…" * (first > 0), "…" * (last < len(text))
    return " ".join(f"{before}{text[first:start]}⟦{text[start:end]}⟧{text[end:last]}{after}".split())
