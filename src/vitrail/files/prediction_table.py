"""Predictions as Arrow tables: the input's columns between `row` and what the task says of the row, then `error`.

The columns of a result are the fields of its type, called `predicted_…` so that they stand beside the columns they may
be compared with. What has names inside (spans, scores by label) is kept as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from vitrail.errors import FileFormatError
from vitrail.files.columns import input_table, typed_column
from vitrail.files.rows import Row

PREFIX = "predicted_"


def prediction_table(rows: Sequence[Row], errors: Sequence[str | None], results: Sequence[Any]) -> Any:
    """results: frozen dataclasses, None where the row failed."""
    import pyarrow as pa

    columns = input_table(rows)
    values = [{} if result is None else result_values(result) for result in results]
    names = list(dict.fromkeys(name for some in values for name in some))
    if clashes := sorted({*names, "row", "error"} & set(columns.column_names)):
        raise FileFormatError(
            f"the input has the column {clashes[0]!r}, a name that the output uses; rename or drop it"
        )
    made = [_column(name, [some.get(name) for some in values]) for name in names]
    number, error = pa.array([row.number for row in rows], pa.int64()), pa.array(errors, pa.string())
    schema = pa.schema(
        [pa.field("row", pa.int64()), *columns.schema, *(field for _, field in made), pa.field("error", pa.string())]
    )
    return pa.Table.from_arrays([number, *columns.columns, *(array for array, _ in made), error], schema=schema)


def result_values(result: Any) -> Mapping[str, object]:
    """The fields of a result as columns."""
    assert is_dataclass(result)
    assert not isinstance(result, type)
    return {f"{PREFIX}{name}": _plain(value) for name, value in asdict(result).items()}


def _column(name: str, values: list[object]) -> tuple[Any, Any]:
    """(array, field): lists keep their type; what has names inside is kept as JSON."""
    import pyarrow as pa

    lists = [value for value in values if isinstance(value, list)]
    if any(_has_names(value) for value in values) or (lists and not any(lists)):  # of empty lists nothing is known
        return typed_column(name, values)
    array = pa.array(values)
    return array, pa.field(name, array.type)


def _has_names(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_has_names(item) for item in value))


def _plain(value: object) -> object:
    """As JSON has it: tuples and arrays as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
