"""CSV and TSV: records of fields, under the names of a header line or names that are given.

CSV is quoted as RFC 4180 says, strictly: a stray quote costs its row instead of swallowing the rows behind it.
TSV is not quoted at all (IANA text/tab-separated-values), because a quote at the start of a text is common in
language data. All values are strings; a blank line is no row.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence

from vitrail.errors import FileFormatError
from vitrail.files.lines import Line
from vitrail.files.records import Record
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


class DelimitedRecords:
    """The records of a file, one at a time, each under the names of its columns.

    names: for a file without a header, of its first columns; fields further right are not read. None: the first record
    is the header, and every record has as many fields.
    """

    def __init__(
        self, lines: Iterable[Line], *, source: str, delimiter: str, quoted: bool, names: Sequence[str] | None = None
    ):
        self.counted = CountedLines(lines)
        if quoted:
            csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))  # 128 KiB at first, one for the process
            self.fields: Iterator[list[str]] = csv.reader(self.counted, delimiter=delimiter, strict=True)
        else:
            bare = (line.removesuffix("\n").removesuffix("\r") for line in self.counted)
            self.fields = (line.split(delimiter) if line else [] for line in bare)
        self.has_header = names is None
        self.names = list(names) if names is not None else self._read_header(source)
        refuse_doubled(self.names, source=source)

    def __iter__(self) -> Iterator[Record]:
        counted = self.counted
        while True:
            counted.begin_record()
            fields: list[str] = []
            try:
                fields = next(self.fields)
            except StopIteration:
                return
            except csv.Error as reason:
                counted.error = counted.error or f"{counted.place}: {reason}"
            if not fields and counted.error is None:
                continue
            yield Record(
                counted.first, dict(zip(self.names, fields, strict=False)), self._error(len(fields)), counted.size
            )

    def _error(self, found: int) -> str | None:
        wanted = len(self.names)
        if self.counted.error or found == wanted or (found > wanted and not self.has_header):
            return self.counted.error
        whose = "the header has" if self.has_header else "names are given for"
        return f"{self.counted.place}: {found} fields, {whose} {wanted}"

    def _read_header(self, source: str) -> list[str]:
        try:
            header = next(self.fields, [])
        except csv.Error as error:
            raise FileFormatError(f"{source} has no readable header: {error}") from error
        if not header or self.counted.error:
            reason = self.counted.error or "its first line is empty"
            raise FileFormatError(f"{source} has no readable header: {reason}")
        return header


def refuse_doubled(names: Sequence[str], *, source: str) -> None:
    if doubled := {name for name in names if names.count(name) > 1}:
        raise FileFormatError(f"{source} has the column {min(doubled)!r} more than once; give it another name.")


def read_csv(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    records = DelimitedRecords(lines, source=source, delimiter=",", quoted=True)
    return rows_with_text(records, source=source, column=column, numbers=numbers)


def read_tsv(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    records = DelimitedRecords(lines, source=source, delimiter="\t", quoted=False)
    return rows_with_text(records, source=source, column=column, numbers=numbers)


def rows_with_text(
    records: DelimitedRecords, *, source: str, column: str | None, numbers: Iterator[int]
) -> Iterator[Row]:
    refuse_reserved(records.names, source=source)
    text_column = choose_text_column(records.names, column, source=source)
    for record in records:
        text, error_in_text = check_text(record.columns.get(text_column))
        error = record.error or error_in_text
        yield Row(next(numbers), record.columns, None if error else text, error, record.size)
