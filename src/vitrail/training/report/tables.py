"""Markdown tables in which no text of the data can be markup."""

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [line(header), line(["---"] * len(header)), *(line([cell(value) for value in row]) for row in rows)]


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    """On one line, without what Markdown or HTML would take for more than text; code spans stay."""
    pieces = re.split(r"(`[^`\n]*`)", " ".join(text.split()))
    return "".join(
        piece.replace("|", "\\|") if index % 2 else re.sub(r"([\\|*_<>\[\]~#!])", r"\\\1", piece)
        for index, piece in enumerate(pieces)
    )


def code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"
