"""Markdown in which no text of the data can be markup: tables, cells, code."""

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [line(header), line(["---"] * len(header)), *(line([cell(value) for value in row]) for row in rows)]


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    """On one line, without what Markdown or HTML would take for more than text; code spans stay."""
    pieces = re.split(r"(`[^`\n]*`)", " ".join(text.split()))
    return "".join(piece.replace("|", "\\|") if index % 2 else _escaped(piece) for index, piece in enumerate(pieces))


def plain(text: str) -> str:
    """On one line, exactly the text: code spans are none either."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`|*_<>\[\]~#!&])", r"\\\1", text)


def code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"
