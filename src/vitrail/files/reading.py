"""Any number of inputs as one stream of rows. The format comes from the name, or is said.

Memory is bounded by a line (`MAX_ROW_BYTES`), or a batch of Parquet, whatever the size of the input.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from vitrail.errors import FileFormatError
from vitrail.files.delimited import read_csv, read_tsv
from vitrail.files.json_lines import read_json_lines
from vitrail.files.lines import Line, bounded_lines, open_bytes
from vitrail.files.parquet_rows import open_parquet, read_parquet
from vitrail.files.rows import Row
from vitrail.files.text_lines import read_text_lines


@runtime_checkable
class LineReader(Protocol):
    def __call__(
        self, lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]
    ) -> Iterator[Row]: ...


LINE_READERS: dict[str, LineReader] = {
    "text": read_text_lines,
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_json_lines,
}
FORMATS = (*LINE_READERS, "parquet")
FORMAT_OF_ENDING = {
    ".txt": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def format_of(source: str, file_format: str | None = None) -> str:
    """The format of an input: `file_format` when given, text for standard input, else by the ending of the name."""
    if file_format is not None:
        if file_format not in FORMATS:
            raise ValueError(f"unknown format {file_format!r}; choose one of {', '.join(FORMATS)}")
        found = file_format
    elif source == "-":
        return "text"
    else:
        ending = Path(source.removesuffix(".gz")).suffix.lower()
        if ending not in FORMAT_OF_ENDING:
            raise FileFormatError(
                f"{source}: its name does not say its format. Say it (--format) as one of {', '.join(FORMATS)}."
            )
        found = FORMAT_OF_ENDING[ending]
    if found == "parquet" and (source == "-" or source.endswith(".gz")):
        raise FileFormatError("Parquet is read from a file, neither from standard input nor from a .gz file.")
    return found


def read_rows(inputs: Sequence[str], *, column: str | None = None, file_format: str | None = None) -> Iterator[Row]:
    """The rows of all inputs, in order, numbered from 0 through. `-` is standard input.

    Raises `FileFormatError` for a file that is not what its name says, or lacks the column.
    """
    numbers = itertools.count()
    for source in inputs:
        found = format_of(source, file_format)
        if found == "parquet":
            yield from read_parquet(source, column=column, numbers=numbers)
        else:
            with open_bytes(source) as stream:
                lines = bounded_lines(stream, source=source)
                yield from LINE_READERS[found](lines, source=source, column=column, numbers=numbers)


def count_rows(inputs: Sequence[str], file_format: str | None = None) -> int:
    """About how many rows the files have, for a progress bar: line ends are counted, nothing is parsed."""
    return sum(
        open_parquet(source).metadata.num_rows
        if (found := format_of(source, file_format)) == "parquet"
        else max(count_line_ends(source) - (found in ("csv", "tsv")), 0)
        for source in inputs
    )


def count_line_ends(source: str) -> int:
    count = 0
    with open_bytes(source) as stream:
        while chunk := stream.read(2**20):
            count += chunk.count(b"\n")
    return count
