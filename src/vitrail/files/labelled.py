"""Labelled data of any format as one stream of records.

The format comes from the name, or is said. Memory is bounded by a line or a batch of Parquet; SQuAD JSON is one
document, and is read whole.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from vitrail.errors import FileFormatError
from vitrail.files.conll import read_conll
from vitrail.files.delimited import DelimitedRecords, refuse_doubled
from vitrail.files.json_lines import parse_object
from vitrail.files.lines import NOT_UTF8, Line, bounded_lines, open_bytes
from vitrail.files.parquet_rows import BATCH_ROWS, open_parquet, repaired_strings
from vitrail.files.records import Format, Layout, Record
from vitrail.files.squad import read_squad

FORMATS: tuple[Format, ...] = get_args(Format)
FORMAT_OF_ENDING: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".json": "squad",
    ".txt": "text",
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes", ".bmeo"), "conll"),
}


def labelled_format(source: str, layout: Layout) -> Format:
    """The format of a file: the one that is said, else by the ending of the name."""
    if layout.file_format is not None:
        return layout.file_format
    ending = Path(source.removesuffix(".gz")).suffix.lower()
    if ending not in FORMAT_OF_ENDING:
        raise FileFormatError(f"{source}: its name does not say its format. Say it, as one of {', '.join(FORMATS)}.")
    return FORMAT_OF_ENDING[ending]


def read_labelled(source: str, layout: Layout) -> Iterator[Record]:
    """The records of one file, in order.

    Raises `FileFormatError` for a file that is not what its name says.
    """
    found = labelled_format(source, layout)
    if found == "parquet":
        yield from read_parquet_records(source)
    elif found == "squad":
        yield from read_squad(source)
    else:
        with open_bytes(source) as stream:
            yield from records_of_lines(bounded_lines(stream, source=source), found, source=source, layout=layout)


def records_of_lines(lines: Iterable[Line], found: str, *, source: str, layout: Layout) -> Iterable[Record]:
    if found == "conll":
        return read_conll(lines)
    if found == "jsonl":
        return read_json_records(lines)
    if found == "text":
        return (Record(line.number, {"text": line.text.rstrip("\r\n")}, line.error, line.size) for line in lines)
    return DelimitedRecords(
        lines,
        source=source,
        delimiter=layout.delimiter or ("," if found == "csv" else "\t"),
        quoted=found == "csv" if layout.quoted is None else layout.quoted,
        names=layout.names,
    )


def read_json_records(lines: Iterable[Line]) -> Iterator[Record]:
    for line in lines:
        if line.error is not None or line.text.strip():
            columns, error = parse_object(line)
            yield Record(line.number, columns, error, line.size)


def read_parquet_records(source: str) -> Iterator[Record]:
    import pyarrow as pa

    with open_parquet(source) as file:
        refuse_doubled(file.schema_arrow.names, source=source)
        try:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from records_of_batch(batch)
        except (pa.ArrowInvalid, OSError) as error:
            raise FileFormatError(f"{source} is damaged: {str(error).splitlines()[0]}") from error


def records_of_batch(batch: Any) -> Iterator[Record]:
    repaired = [repaired_strings(column) for column in batch.columns]
    values = [column.to_pylist() for column, _ in repaired]
    damaged = frozenset().union(*(rows for _, rows in repaired))
    size = batch.nbytes // max(batch.num_rows, 1)
    for index in range(batch.num_rows):
        columns = {name: column[index] for name, column in zip(batch.schema.names, values, strict=True)}
        yield Record(0, columns, f"a text {NOT_UTF8}" if index in damaged else None, size)
