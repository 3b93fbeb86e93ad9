"""Reading embeddings back: what made them, and their vectors a batch at a time."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from vitrail.errors import FileFormatError
from vitrail.files.lines import bounded_lines
from vitrail.files.output import output_format, vectors_of
from vitrail.files.parquet_rows import open_parquet

BATCH_ROWS = 4096


class EmbeddingBatch(NamedTuple):
    """Rows that have a vector, their other columns, and how many between them have none."""

    numbers: Integer[np.ndarray, " rows"]
    vectors: Float[np.ndarray, "rows dimensions"]
    columns: list[Mapping[str, object]]
    without_vector: int


def sidecar_of(path: Path) -> Path:
    """Where a format without room for a description keeps it."""
    return path.with_name(path.name + ".json")


def read_description(path: Path) -> dict[str, Any]:
    """The model, prompt and options that made an embeddings file; `FileFormatError` where the file does not say."""
    found: Any = None
    if output_format(str(path)) == "parquet":
        with open_parquet(str(path)) as file:
            found = json.loads((file.schema_arrow.metadata or {}).get(b"vitrail", b"null"))
    else:
        sidecar = sidecar_of(path)
        path.stat()  # the embeddings missing is another error than their description missing
        if sidecar.exists():
            with sidecar.open(encoding="utf-8") as stream:
                first = stream.readline()
            try:
                found = json.loads(first if first.rstrip().endswith("}") else first + "]}").get("vitrail")
            except (ValueError, AttributeError) as error:
                raise FileFormatError(f"{sidecar} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} does not say which model made it. Write it with `vitrail embed … -o FILE`.")
    return found


def read_embeddings(path: Path) -> Iterator[EmbeddingBatch]:
    """The vectors of a file that `vitrail embed` wrote, in order of its rows."""
    return {"parquet": read_parquet, "jsonl": read_json_lines, "npy": read_npy}[output_format(str(path))](path)


def read_parquet(path: Path) -> Iterator[EmbeddingBatch]:
    import pyarrow as pa

    with open_parquet(str(path)) as file:
        if "embedding" not in file.schema_arrow.names:
            raise FileFormatError(f"{path} has no column 'embedding'; it has: {', '.join(file.schema_arrow.names)}.")
        for chunk in file.iter_batches(BATCH_ROWS):
            table = pa.Table.from_batches([chunk])
            others = table.drop_columns(["embedding"])
            shown = others.select([f.name for f in others.schema if f.name == "row" or pa.types.is_string(f.type)])
            yield batch_of(shown.to_pylist(), vectors_of(table))


def read_json_lines(path: Path) -> Iterator[EmbeddingBatch]:
    with path.open("rb") as stream:
        lines = bounded_lines(stream, source=str(path))
        dimensions = 0
        while rows := [parse(line.text, path) for line in itertools.islice(lines, BATCH_ROWS)]:
            if "embedding" not in rows[0]:
                raise FileFormatError(f"{path} has no field 'embedding'; it has: {', '.join(rows[0])}.")
            found = [row.pop("embedding") for row in rows]
            dimensions = dimensions or next((len(vector) for vector in found if vector), 0)
            empty = [float("nan")] * (dimensions or 1)
            yield batch_of(rows, np.array([vector or empty for vector in found], np.float32))


def parse(line: str, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    if not isinstance(row, dict) or "row" not in row:
        raise FileFormatError(f"{path} is not a file of embeddings: a line of it is no object with the field 'row'.")
    return row


def read_npy(path: Path) -> Iterator[EmbeddingBatch]:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    with sidecar_of(path).open(encoding="utf-8") as stream:
        stream.readline()
        lines = (line.rstrip().removesuffix(",") for line in stream if not line.startswith("]"))
        for start in range(0, len(vectors), BATCH_ROWS):
            part = vectors[start : start + BATCH_ROWS]
            rows = [parse(line, sidecar_of(path)) for line in itertools.islice(lines, len(part))]
            if len(rows) < len(part):
                raise FileFormatError(f"{sidecar_of(path)} has fewer rows than {path} ({len(vectors)}).")
            yield batch_of(rows, part)


def batch_of(rows: list[Any], vectors: np.ndarray) -> EmbeddingBatch:
    present = ~np.isnan(vectors).any(axis=1)
    kept = [row for row, keep in zip(rows, present, strict=True) if keep]
    numbers = np.array([row["row"] for row in kept], np.int64)
    return EmbeddingBatch(numbers, vectors[present], kept, int((~present).sum()))
