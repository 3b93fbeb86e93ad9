"""CSV and TSV with a header line.

CSV is quoted as RFC 4180 says, strictly: a stray quote costs its row instead of swallowing the rows behind it.
TSV is not quoted at all (IANA text/tab-separated-values), because a quote at the start of a text is common in
language data. All values are strings; a blank line is no row.
"""

import csv
from collections.abc import Iterable, Iterator

from vitrail.errors import FileFormatError
from vitrail.files.lines import Line
from vitrail.files.rows import MAX_ROW_BYTES, Row, check_text, choose_text_column, refuse_reserved


class CountedLines:
    """Hands lines to the csv module, and remembers what stood in those of the current record."""

    def __init__(self, lines: Iterable[Line]):
        self.lines = iter(lines)
        self.first = self.last = self.size = 0
        self.error: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.first = self.first or line.number
        self.last = line.number
        self.size += line.size
        self.error = self.error or line.error
        return line.text

    def begin_record(self) -> None:
        self.first = self.size = 0
        self.error = None

    @property
    def place(self) -> str:
        return f"line {self.last}" if self.first == self.last else f"lines {self.first} to {self.last}"


def read_csv(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))  # 128 KiB at first, and one for the process
    counted = CountedLines(lines)
    return read_records(csv.reader(counted, strict=True), counted, source=source, column=column, numbers=numbers)


def read_tsv(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    counted = CountedLines(lines)
    fields = (line.removesuffix("\n").removesuffix("\r") for line in counted)
    records = (line.split("\t") if line else [] for line in fields)
    return read_records(records, counted, source=source, column=column, numbers=numbers)


def read_records(
    records: Iterator[list[str]], counted: CountedLines, *, source: str, column: str | None, numbers: Iterator[int]
) -> Iterator[Row]:
    header = read_header(records, counted, source=source)
    text_column = choose_text_column(header, column, source=source)
    while True:
        counted.begin_record()
        fields: list[str] = []
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as reason:
            counted.error = counted.error or f"{counted.place}: {reason}"
        if not fields and counted.error is None:
            continue
        columns = dict(zip(header, fields, strict=False))
        if counted.error is None and len(fields) != len(header):
            counted.error = f"{counted.place}: {len(fields)} fields, the header has {len(header)}"
        text, error_in_text = check_text(columns.get(text_column))
        error = counted.error or error_in_text
        yield Row(next(numbers), columns, None if error else text, error, counted.size)


def read_header(records: Iterator[list[str]], counted: CountedLines, *, source: str) -> list[str]:
    try:
        header = next(records, [])
    except csv.Error as error:
        raise FileFormatError(f"{source} has no readable header: {error}") from error
    if not header or counted.error:
        raise FileFormatError(f"{source} has no readable header: {counted.error or 'its first line is empty'}")
    if doubled := {name for name in header if header.count(name) > 1}:
        raise FileFormatError(f"{source} has the column {min(doubled)!r} more than once; give it another name.")
    refuse_reserved(header, source=source)
    return header
