"""Columns of any input keep their values and, where they can, their types."""

import datetime
import decimal
import io
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.files.columns import input_table, is_json, unify
from vitrail.files.embedding_table import embedding_table
from vitrail.files.embeddings import read_description, read_embeddings
from vitrail.files.output import write_json_lines, write_npy, write_parquet
from vitrail.files.reading import read_rows
from vitrail.files.rows import Row


def table_of(columns, *, vectors=None):
    """An output table for rows with these columns."""
    rows = [Row(number, values, "text", None, 1) for number, values in enumerate(columns)]
    vectors = np.zeros((len(rows), 2), np.float32) if vectors is None else vectors
    counts = np.ones(len(rows), np.int64)
    return embedding_table(rows, [None] * len(rows), vectors=vectors, input_tokens=counts, used_tokens=counts)


def json_rows(table):
    stream = io.StringIO()
    write_json_lines(stream, [table], table.schema)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None], pa.uint8()),
        pa.array([1, None], pa.timestamp("ns", tz="UTC")),
        pa.array([1, None], pa.duration("ns")),
        pa.array([decimal.Decimal("1.50"), None]),
        pa.array([b"\xff", None]),
        pa.array([[1, 2], None], pa.list_(pa.int32())),
        pa.array([{"a": 1}, None]),
        pa.array(["x", None], pa.large_string()),
        pa.array(["x", None]).dictionary_encode(),
        pa.array([None, None], pa.int16()),
    ],
    ids=lambda column: str(column.type),
)
def test_every_type_of_parquet_goes_through_unchanged(tmp_path, column):
    pq.write_table(pa.table({"text": ["a", "b"], "c": column}), tmp_path / "in.parquet")

    table = input_table(list(read_rows([str(tmp_path / "in.parquet")])))

    assert table["c"].combine_chunks().equals(column)
    assert len(json_rows(table_of([row.columns for row in read_rows([str(tmp_path / "in.parquet")])]))) == 2


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 3], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["a", None], pa.string()),
        ([None, None], pa.null()),
    ],
)
def test_json_values_of_one_type_are_typed(values, kind):
    assert input_table([Row(0, {"c": value}, "", None, 1) for value in values]).schema.field("c").type == kind


@pytest.mark.parametrize("values", [[1, "1"], [True, 1], [{"a": [1]}, "x"], [[1], [2]], [2**70, 1], [0.5, 2**60]])
def test_json_values_of_several_types_are_the_same_values_in_json_and_text_in_parquet(tmp_path, values):
    table = table_of([{"c": value} for value in values])

    assert is_json(table.schema.field("c"))
    assert [row["c"] for row in json_rows(table)] == values
    write_parquet(tmp_path / "out.parquet", [table], table.schema, description={})
    written = pq.read_table(tmp_path / "out.parquet")["c"].to_pylist()
    assert written == [value if isinstance(value, str) else json.dumps(value) for value in values]


def test_what_json_cannot_hold_becomes_null_base64_or_text():
    columns = [
        {
            "c": pa.scalar(math.nan),
            "d": pa.scalar(b"\xff"),
            "e": pa.scalar(datetime.date(2020, 1, 2)),
            "f": pa.scalar(1),
        }
    ]
    row = json_rows(table_of(columns))[0]
    assert (row["c"], row["d"], row["e"], row["f"]) == (None, "/w==", "2020-01-02", 1)


def test_schemas_are_widened_where_arrow_can_and_columns_keep_the_order_of_their_first_appearance():
    one = pa.schema([("a", pa.int32()), ("b", pa.null())])
    two = pa.schema([("c", pa.string()), ("b", pa.string()), ("a", pa.int64())])

    found = unify([one, two])

    assert found.names == ["a", "b", "c"]
    assert [field.type for field in found] == [pa.int64(), pa.string(), pa.string()]


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "npy"])
def test_every_float32_comes_back_bit_for_bit(tmp_path, ending):
    bits = np.random.default_rng(0).integers(0, 2**32, 400, dtype=np.uint32).view(np.float32).reshape(-1, 2)
    vectors = bits[np.isfinite(bits).all(axis=1)]
    table = table_of([{"text": "x"}] * len(vectors), vectors=vectors)
    path = tmp_path / f"out.{ending}"
    if ending == "parquet":
        write_parquet(path, [table], table.schema, description={"name": "m"})
    elif ending == "jsonl":
        with path.open("w") as stream:
            write_json_lines(stream, [table])
    else:
        write_npy(
            path, tmp_path / "out.npy.json", [table], table.schema, rows=len(vectors), description={"name": "m"}
        )  # fmt: skip
        assert np.load(path).dtype == np.float32

    found = np.concatenate([batch.vectors for batch in read_embeddings(path)])

    assert found.tobytes() == vectors.tobytes()
    if ending != "jsonl":
        assert read_description(path) == {"name": "m"}
