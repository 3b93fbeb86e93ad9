"""Parquet, a batch at a time. Every column keeps its type; the text column must be one of strings."""

from collections.abc import Iterator
from typing import Any

from vitrail.errors import FileFormatError
from vitrail.files.rows import Row, check_text, choose_text_column, refuse_reserved

BATCH_ROWS = 1024


def open_parquet(source: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(source, pre_buffer=False)  # pre_buffer holds a whole row group in memory
    except pa.ArrowInvalid as error:
        raise FileFormatError(f"{source} is not a Parquet file: {str(error).splitlines()[0]}") from error


def read_parquet(source: str, *, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    import pyarrow as pa

    with open_parquet(source) as file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise FileFormatError(f"{source} has two columns of the same name; give one another name.")
        refuse_reserved(names, source=source)
        text_column = choose_text_column(names, column, source=source)
        if not is_string(file.schema_arrow.field(text_column).type):
            found = file.schema_arrow.field(text_column).type
            raise FileFormatError(f"{source}: the column {text_column!r} holds {found}, not strings.")
        try:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from rows_of(batch, text_column, numbers)
        except (pa.ArrowInvalid, OSError) as error:
            raise FileFormatError(f"{source} is damaged: {str(error).splitlines()[0]}") from error


def is_string(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def rows_of(batch: Any, text_column: str, numbers: Iterator[int]) -> Iterator[Row]:
    repaired = [repaired_strings(column) for column in batch.columns]
    damaged = repaired[batch.schema.get_field_index(text_column)][1]
    columns = {name: column for name, (column, _) in zip(batch.schema.names, repaired, strict=True)}
    size = batch.nbytes // max(batch.num_rows, 1)
    for index in range(batch.num_rows):
        values = {name: column[index] for name, column in columns.items()}
        text, error = check_text(values[text_column].as_py())
        if index in damaged:
            text, error = None, "the text is not UTF-8"
        yield Row(next(numbers), values, text, error, size)


def repaired_strings(column: Any) -> tuple[Any, frozenset[int]]:
    """The column with U+FFFD where its bytes are not UTF-8 (Arrow trusts the writer), and which rows these are."""
    import pyarrow as pa

    if not is_string(column.type) or pa.types.is_dictionary(column.type):
        return column, frozenset()
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        content = column.cast(pa.large_binary()).to_pylist()
        texts = [None if value is None else value.decode(errors="replace") for value in content]
        changed = (
            i
            for i, (old, new) in enumerate(zip(content, texts, strict=True))
            if new is not None and new.encode() != old
        )
        return pa.array(texts, column.type), frozenset(changed)
    return column, frozenset()
