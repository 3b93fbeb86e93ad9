"""One record of labelled data: its columns as they stand in the file, and what is wrong with it.

A record that cannot be read costs itself: it keeps its place, and `error` says why. Which column plays which part is
decided elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Format = Literal["csv", "tsv", "jsonl", "parquet", "conll", "squad", "text"]


class Record(NamedTuple):
    """`line` is the first line of the record in its file, counted from 1; 0 where the format has no lines."""

    line: int
    columns: Mapping[str, object]
    error: str | None
    size: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the records of a file are laid out, where its name does not say it.

    file_format: delimiter, quoted: of CSV and TSV, and None for what
    is usual there. names: of the columns of a file without a header.
    """

    file_format: Format | None = None
    delimiter: str | None = None
    quoted: bool | None = None
    names: tuple[str, ...] | None = None
