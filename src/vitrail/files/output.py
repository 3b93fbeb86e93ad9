"""Tables of embeddings written out, one file format each; a file of any size in flat memory.

- Parquet: one row group per table; the model's description as JSON under the metadata key `vitrail`.
- JSON lines: one object per row; the description in `NAME.json` beside it. Vectors carry the nine digits that
  give back every float32 exactly.
- `.npy`: float32 (rows, dimensions), NaN where a row failed; everything else in `NAME.json`: one JSON document with
  `vitrail` (the description) and `rows`, laid out with one row per line, so that it can be read as a stream.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from io import TextIOBase
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.files.columns import conform, json_columns_as_text, json_value, python_values

ENDINGS = {".parquet": "parquet", ".jsonl": "jsonl", ".npy": "npy"}
VECTOR_COLUMNS = ("embedding", "token_embeddings")


def output_format(output: str) -> str:
    """The format an output's name asks for."""
    if output == "-":
        return "jsonl"
    ending = Path(output).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"cannot tell the format of {output!r} by its name; end it in {', '.join(ENDINGS)}")
    return ENDINGS[ending]


def write_parquet(path: Path, tables: Iterable[Any], schema: Any, *, description: Mapping[str, object]) -> None:
    """Write tables (brought to `schema`) to one Parquet file."""
    import pyarrow.parquet as pq

    plain = json_columns_as_text(schema.empty_table()).schema
    metadata = {"vitrail": json.dumps(description, ensure_ascii=False)}
    with pq.ParquetWriter(path, plain.with_metadata(metadata), use_dictionary=False) as writer:
        for table in tables:
            writer.write_table(json_columns_as_text(conform(table, schema)).replace_schema_metadata(metadata))


def write_json_lines(stream: TextIOBase, tables: Iterable[Any], schema: Any | None = None) -> None:
    """Write one JSON object per row; with a schema every object has all its columns."""
    for table in tables:
        for line in json_objects(table if schema is None else conform(table, schema)):
            stream.write(line + "\n")


def write_sidecar(path: Path, description: Mapping[str, object]) -> None:
    """Write the description of a file that has no room for it."""
    path.write_text(json.dumps({"vitrail": description}, ensure_ascii=False) + "\n", encoding="utf-8")


def write_npy(
    path: Path, sidecar: Path, tables: Iterable[Any], schema: Any, *, rows: int, description: Mapping[str, object]
) -> None:
    """Write the vectors of `rows` rows as an array, and the other columns to `sidecar`."""
    dimensions = schema.field("embedding").type.list_size
    with path.open("wb") as array, sidecar.open("w", encoding="utf-8") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimensions)}
        np.lib.format.write_array_header_1_0(array, header)
        stream.write(f'{{"vitrail": {json.dumps(description, ensure_ascii=False)}, "rows": [')
        separator = "\n"
        for table in tables:
            array.write(vectors_of(table).tobytes())
            for line in json_objects(conform(table, schema).drop_columns(["embedding"])):
                stream.write(separator + line)
                separator = ",\n"
        stream.write("\n]}\n")


def vectors_of(table: Any) -> np.ndarray:
    """The `embedding` column as float32 (rows, dimensions), NaN where it is null."""
    column = table.column("embedding").combine_chunks()
    vectors = np.full((len(column), column.type.list_size), np.nan, dtype="<f4")
    present = column.is_valid().to_numpy(zero_copy_only=False)
    vectors[present] = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    return vectors


def json_objects(table: Any) -> Iterator[str]:
    """Every row as one line of JSON."""
    names = table.column_names
    columns = [
        (
            shortest_floats(table.column(name))
            if name in VECTOR_COLUMNS
            else [json_value(value) for value in python_values(table.column(name), table.schema.field(name))]
        )
        for name in names
    ]
    for values in zip(*columns, strict=True):
        yield json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False, allow_nan=False)


def shortest_floats(column: Any) -> list[object]:
    """Vectors as nested lists of numbers of nine digits: enough to give back each float32 exactly."""

    def rounded(value: Any) -> Any:
        return [rounded(item) for item in value] if isinstance(value, list) else value and float(f"{value:.9g}")

    return [rounded(value) for value in column.to_pylist()]
