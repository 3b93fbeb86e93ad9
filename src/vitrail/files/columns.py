"""Columns of rows as Arrow tables, and tables of unequal columns brought to one schema.

A column whose values fit one Arrow type has that type. Any other (nested objects, values of several types) is kept
as JSON, one document per cell, and marked so in its field: written to Parquet a JSON string becomes the string
itself and the rest its JSON text; written to JSON lines every value is what it was.
"""

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from vitrail.files.rows import Row

JSON_MARK = {b"vitrail": b"json"}


def input_table(rows: Sequence[Row]) -> Any:
    """The input columns of `rows`, in the order in which they first appear; a column a row lacks is null there."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row.columns))
    built = [typed_column(name, [row.columns.get(name) for row in rows]) for name in names]
    return pa.Table.from_arrays([array for array, _ in built], schema=pa.schema([field for _, field in built]))


def typed_column(name: str, values: list[object]) -> tuple[Any, Any]:
    """The values as (array, field)."""
    import pyarrow as pa

    kinds = {value.type for value in values if isinstance(value, pa.Scalar)}
    known = [value.as_py() if isinstance(value, pa.NullScalar) else value for value in values]
    plain = [value for value in known if not (value is None or isinstance(value, pa.Scalar))]
    try:
        if len(kinds) <= 1 and not (kinds and plain) and not any(isinstance(value, dict | list) for value in plain):
            valid = [value if not isinstance(value, pa.Scalar) or value.is_valid else None for value in known]
            array = pa.array(valid, type=kinds.pop()) if kinds else pa.array(valid)
            return array, pa.field(name, array.type)
    except (pa.ArrowException, OverflowError):
        pass  # several types, or numbers that no Arrow type holds: JSON, as the docstring says
    texts = [json_text(value.as_py() if isinstance(value, pa.Scalar) else value) for value in values]
    return pa.array(texts, pa.string()), json_field(name)


def json_field(name: str) -> Any:
    import pyarrow as pa

    return pa.field(name, pa.string(), metadata=JSON_MARK)


def is_json(field: Any) -> bool:
    return (field.metadata or {}).get(b"vitrail") == b"json"


def unify(schemas: Iterable[Any]) -> Any:
    """One schema that the tables of all `schemas` can be brought to, types widened where Arrow can, else JSON."""
    import pyarrow as pa

    fields: dict[str, Any] = {}
    for schema in schemas:
        for field in schema:
            fields[field.name] = wider(fields.get(field.name, field), field)
    return pa.schema(list(fields.values()))


def wider(one: Any, other: Any) -> Any:
    import pyarrow as pa

    if is_json(one) or is_json(other):
        return one if is_json(one) else other
    if one.type == other.type:
        return one
    try:
        return pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive").field(0)
    except pa.ArrowException:
        return json_field(one.name)


def conform(table: Any, schema: Any) -> Any:
    """`table` with the columns of `schema`, in its order."""
    import pyarrow as pa

    arrays = []
    for field in schema:
        position = table.schema.get_field_index(field.name)
        if position < 0:
            arrays.append(pa.nulls(table.num_rows, field.type))
        elif is_json(field) and not is_json(table.schema.field(position)):
            values = python_values(table.column(position), table.schema.field(position))
            arrays.append(pa.array([json_text(value) for value in values], pa.string()))
        else:
            arrays.append(table.column(position).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def json_columns_as_text(table: Any) -> Any:
    """The form for Parquet: JSON strings become plain strings, other JSON stays text, the marks go."""
    import pyarrow as pa

    for position, field in enumerate(table.schema):
        if is_json(field):
            texts = [
                None if cell is None else json.loads(cell) if cell.startswith('"') else cell
                for cell in table.column(position).to_pylist()
            ]
            table = table.set_column(position, pa.field(field.name, pa.string()), pa.array(texts, pa.string()))
    return table


def python_values(column: Any, field: Any) -> list[object]:
    """The values of a column as Python holds them; times as text, since Arrow's are finer than Python's."""
    import pyarrow as pa

    if is_json(field):
        return [None if cell is None else json.loads(cell) for cell in column.to_pylist()]
    if pa.types.is_timestamp(field.type) or pa.types.is_duration(field.type):
        column = column.cast(pa.string())
    return column.to_pylist()


def json_text(value: object) -> str | None:
    return None if value is None else json.dumps(json_value(value), ensure_ascii=False, allow_nan=False)


def json_value(value: object) -> object:
    """What JSON can hold of a value: NaN and infinities become null, bytes base64, dates and decimals text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
