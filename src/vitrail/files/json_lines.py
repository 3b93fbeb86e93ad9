"""JSON lines: one object per line; its fields are the columns. A blank line is no row.

Of a field that stands twice in an object the last counts. `NaN`, `Infinity`, numbers of thousands of digits,
endless nesting and lone surrogates are not JSON text: they cost their row. The text column is chosen by the
first object; a file without any object in its first lines is no JSON lines file.
"""

import json
from collections.abc import Iterable, Iterator

from vitrail.errors import FileFormatError
from vitrail.files.lines import Line
from vitrail.files.rows import RESERVED_COLUMNS, Row, check_text, choose_text_column, refuse_reserved

PATIENCE = 100
"""So many lines may be damaged before the first object; after them the file is something else."""


def read_json_lines(lines: Iterable[Line], *, source: str, column: str | None, numbers: Iterator[int]) -> Iterator[Row]:
    text_column: str | None = None
    damaged: list[Row] = []
    for line in lines:
        if line.error is None and not line.text.strip():
            continue
        columns, error = parse_object(line)
        if text_column is None:
            if error is not None:
                damaged.append(Row(next(numbers), {}, None, error, line.size))
                if len(damaged) == PATIENCE:
                    break
                continue
            refuse_reserved(columns, source=source)
            text_column = choose_text_column(columns, column, source=source)
            yield from damaged
        yield row_of(line, columns, error, text_column=text_column, number=next(numbers))
    if text_column is None and damaged:
        raise FileFormatError(f"{source} is not JSON lines (one object per line): {damaged[0].error}")


def row_of(line: Line, columns: dict[str, object], error: str | None, *, text_column: str, number: int) -> Row:
    if error is None and (clashes := RESERVED_COLUMNS.intersection(columns)):
        error = f"line {line.number} has the field {min(clashes)!r}, a name that the output uses"
        columns = {name: value for name, value in columns.items() if name not in clashes}
    if error is None and text_column not in columns:
        error = f"line {line.number} has no field {text_column!r}"
    text = None
    if error is None:
        text, error = check_text(columns[text_column])
    return Row(number, columns, text, error, line.size)


def parse_object(line: Line) -> tuple[dict[str, object], str | None]:
    """(the fields, None), or ({}, the reason)."""
    if line.error:
        return {}, line.error
    try:
        value = json.loads(line.text, parse_constant=refuse_constant)
        if "\\u" in line.text:  # only an escape can smuggle in half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {}, f"line {line.number} has a lone surrogate, which is no character"
    except RecursionError:
        return {}, f"line {line.number} is nested too deeply"
    except ValueError as error:
        return {}, f"line {line.number} is not JSON: {error}"
    if not isinstance(value, dict):
        return {}, f"line {line.number} is not a JSON object but {type(value).__name__}"
    return value, None


def refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
