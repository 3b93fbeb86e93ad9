"""Records into rows: dicts keyed by role, each with the place it came from.

Beside the roles a row has `row`, the number of its record in its file, and `source`, the name of that file. A record
that cannot be one is a `Fault`; whoever reads decides whether it stops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from vitrail.files.labelled import read_labelled
from vitrail.files.lines import NOT_UTF8
from vitrail.files.records import Layout, Record
from vitrail.tasks.task import Role
from vitrail.training.datasets.config import HUB, DataConfig, Split
from vitrail.training.datasets.hub import read_hub
from vitrail.training.datasets.values import MISSING, as_kind

ENDED = "ends before line"
RowByRole = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A record that is no row.

    kind: of fault: "record" and "encoding" cost the whole record, "ended" the lines of parallel files behind the end of
    the shortest; "column", "missing", "type", "number", "length" are of one role and its column.
    """

    kind: str
    source: str
    row: int
    line: int
    reason: str
    role: str | None = None
    column: str | None = None
    value: object = None

    @property
    def place(self) -> str:
        return f"{self.source}, " + (f"line {self.line}" if self.line else f"row {self.row}")


def read_split(
    config: DataConfig, split: Split, roles: Sequence[Role], *, offline: bool = False
) -> Iterator[RowByRole | Fault]:
    """The rows of one split as they stand in its files, and faults in their places."""
    for source, records in sources_of(config, split, offline=offline):
        for number, record in enumerate(records):
            yield row_of(record, config, split, roles, source=source, number=number)


def sources_of(config: DataConfig, split: Split, *, offline: bool) -> Iterator[tuple[str, Iterator[Record]]]:
    files = config.files(split)
    if isinstance(files, dict):
        yield " | ".join(files.values()), parallel_records(files)
        return
    for source in files:
        if source.startswith(HUB):
            yield source, read_hub(source, split=split, offline=offline)
        else:
            yield source, read_labelled(source, config.layout)


def parallel_records(files: dict[str, str]) -> Iterator[Record]:
    """One record of the lines that stand at the same place of each file; a file that ends early ends in faults."""
    streams = [read_labelled(file, Layout(file_format="text")) for file in files.values()]
    for number, records in enumerate(zip_longest(*streams), start=1):
        error = next((record.error for record in records if record is not None and record.error), None)
        ended = [file for file, record in zip(files.values(), records, strict=True) if record is None]
        if ended:
            error = f"{ended[0]} {ENDED} {number}"
        texts = {role: record and record.columns["text"] for role, record in zip(files, records, strict=True)}
        yield Record(number, texts, error, 0)


def row_of(
    record: Record, config: DataConfig, split: Split, roles: Sequence[Role], *, source: str, number: int
) -> RowByRole | Fault:
    place = Fault(kind="length", source=source, row=number, line=record.line, reason=record.error or "")
    if record.error:
        kind = "encoding" if NOT_UTF8 in record.error else "ended" if ENDED in record.error else "record"
        return replace(place, kind=kind)
    row: RowByRole = {"row": number, "source": source}
    for role in roles:
        column = config.column(role.name, split)
        at_fault = replace(place, role=role.name, column=column)
        if column not in record.columns:
            if role.required or role.name in config.roles:
                words = f"there is no column {column!r}"
                return replace(at_fault, kind="column", reason=words, value=tuple(record.columns))
            continue
        value = record.columns[column]
        taken, reason = as_kind(value, role.kind)
        if reason == MISSING and not role.required:
            continue
        if reason:
            kind = "missing" if reason == MISSING else "number" if role.kind == "number" else "type"
            return replace(at_fault, kind=kind, reason=f"{column!r} {reason}", value=value)
        row[role.name] = taken
    if "tokens" in row and "tags" in row and len(row["tokens"]) != len(row["tags"]):
        counts = f"{len(row['tokens'])} tokens and {len(row['tags'])} tags"
        return replace(place, role="tags", column=config.column("tags", split), reason=counts)
    return row
