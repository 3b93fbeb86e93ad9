"""Files of rows through a task, a part at a time; the output appears whole or not at all."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitrail.errors import TruncationWarning
from vitrail.files.columns import unify
from vitrail.files.output import output_format, write_json_lines, write_parquet
from vitrail.files.prediction_table import prediction_table
from vitrail.files.reading import read_rows
from vitrail.files.rows import Row
from vitrail.jobs.encoding import parts_of
from vitrail.jobs.halving import describe, encode_or_halve

Predict = Callable[[list[dict[str, Any]]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class PredictReport:
    rows: int
    errors: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.errors:,} errors"


def check_output(output: str, *, overwrite: bool) -> None:
    """Raise for an output that cannot be: cheap, to be asked before a model loads."""
    if output_format(output) == "npy":
        raise ValueError("predictions do not fit a .npy array; write .parquet or .jsonl")
    if output == "-":
        return
    if not Path(output).absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder of {output} does not exist; create it first")
    if Path(output).exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; choose another name, or replace it with --overwrite")


def predict_job(
    predict: Predict,
    inputs: Sequence[str],
    output: str | TextIOBase,
    *,
    roles: Sequence[str],
    columns: Mapping[str, str],
    file_format: str | None = None,
    description: Mapping[str, object],
) -> PredictReport:
    """Predict every row of `inputs` into the file `output` (.parquet, .jsonl), or as JSON lines into a stream.

    roles: what the task reads, the first of them in every row. columns: of a role, where it has another name.
    """
    errors = count = 0
    first = columns.get(roles[0], None if roles[0] == "text" else roles[0])
    rows = read_rows(inputs, column=first, file_format=file_format)
    with _sink(output, description) as write:
        for part in parts_of(rows, tokens=False):
            table, failed = _predict_part(predict, part, roles=roles, columns=columns)
            write(table)
            errors, count = errors + failed, count + len(part)
    return PredictReport(rows=count, errors=errors)


def _predict_part(
    predict: Predict, rows: Sequence[Row], *, roles: Sequence[str], columns: Mapping[str, str]
) -> tuple[Any, int]:
    """(the part of the output, how many of its rows failed)."""
    prepared = [_input_of(row, roles, columns) for row in rows]
    usable = [index for index, value in enumerate(prepared) if isinstance(value, dict)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        outcomes = encode_or_halve([value for value in prepared if isinstance(value, dict)], predict)
    results: list[Any] = [None] * len(rows)
    errors = [None if isinstance(value, dict) else value for value in prepared]
    for index, outcome in zip(usable, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            errors[index] = describe(outcome)
        else:
            results[index] = outcome
    return prediction_table(rows, errors, results), sum(error is not None for error in errors)


def _input_of(row: Row, roles: Sequence[str], columns: Mapping[str, str]) -> dict[str, Any] | str:
    """The row keyed by role, or why there is none."""
    values = {role: _python(row.columns.get(columns.get(role, role))) for role in roles}
    if row.text is not None:
        values[roles[0]] = row.text
    elif not any(isinstance(value, list) for value in values.values()):  # words are a text, too
        return row.error or "the text is null"
    return {role: value for role, value in values.items() if value is not None}


def _python(value: Any) -> Any:
    """Values of a Parquet file are Arrow's."""
    return value.as_py() if hasattr(value, "as_py") else value


@contextmanager
def _sink(output: str | TextIOBase, description: Mapping[str, object]) -> Iterator[Callable[[Any], None]]:
    """Takes tables one by one; a file gets its columns and its name when all are there."""
    if not isinstance(output, str):
        yield lambda table: write_json_lines(output, [table])
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = Path(output)
    with TemporaryDirectory(dir=place.absolute().parent, prefix=f".{place.name}-") as folder:
        parts: list[Path] = []

        def write(table: Any) -> None:
            parts.append(Path(folder) / f"{len(parts)}.parquet")
            pq.write_table(table, parts[-1], use_dictionary=False)

        yield write
        schema = unify([pq.read_schema(part) for part in parts] or [pa.schema([])])
        tables = (pq.read_table(part) for part in parts)
        whole = Path(folder) / "whole"
        if output_format(output) == "parquet":
            write_parquet(whole, tables, schema, description=description)
        else:
            with whole.open("w", encoding="utf-8") as stream:
                write_json_lines(stream, tables, schema)
        whole.replace(place)
