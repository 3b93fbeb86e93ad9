"""Plain text: one text per line, in a column named `text`. An empty line is an empty text."""

from collections.abc import Iterable, Iterator

from vitrail.files.lines import Line
from vitrail.files.rows import Row, choose_text_column


def read_text_lines(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    choose_text_column(["text"], column, source=source)
    for line in lines:
        text = line.text.removesuffix("\n").removesuffix("\r")
        yield Row(next(numbers), {"text": text}, None if line.error else text, line.error, line.size)
