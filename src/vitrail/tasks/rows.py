"""Rows to sequences of ids: what the tasks share before they differ.

An error names the row of the data, not of the call; texts that were cut are counted in one warning.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Int64

from vitrail.errors import InputError, TruncationWarning
from vitrail.tokenization import Tokenizer

Row = Mapping[str, Any]
Ids = Int64[np.ndarray, "_"]
Result = TypeVar("Result")


def value_of(row: Row, role: str, kind: type | tuple[type, ...], *, number: int) -> Any:
    """The value a row has for a role; InputError when it is absent or not what the role holds."""
    value = row.get(role)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    if value is None:
        raise InputError(f"has nothing for {role!r}; it has {', '.join(map(repr, row)) or 'nothing'}", row=number)
    wanted = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
    raise InputError(f"{role!r} is {type(value).__name__} {value!r:.40}, not {wanted}", row=number)


def texts_of(rows: Sequence[Row], first: str, second: str | None, *, first_row: int) -> list[Any]:
    """The texts of the role `first`; pairs where the rows have the role `second`, too, which then all must."""
    pairs = second is not None and any(row.get(second) is not None for row in rows)
    if not pairs or second is None:
        return [value_of(row, first, str, number=first_row + index) for index, row in enumerate(rows)]
    return [
        (value_of(row, first, str, number=first_row + index), value_of(row, second, str, number=first_row + index))
        for index, row in enumerate(rows)
    ]


def encode_rows(
    texts: Sequence[Any], tokenizer: Tokenizer, *, max_length: int | None, numbers: Sequence[int]
) -> tuple[list[Ids], list[Ids] | None]:
    """(ids, token types or None) of each text or pair, cut to `max_length`. numbers: the row of each."""
    if not texts:
        return [], None
    batch = with_row_numbers(lambda: tokenizer.encode(texts, max_length=max_length), numbers=numbers)
    warn_of_cuts(batch.truncated, max_length)
    cuts = batch.boundaries[1:-1]
    types = None if batch.token_type_ids is None else np.split(batch.token_type_ids, cuts)
    return np.split(batch.ids, cuts), types


def with_row_numbers(work: Callable[[], Result], *, numbers: Sequence[int]) -> Result:
    """What `work` gives; where its errors name a text, they name the row `numbers` has for it."""
    try:
        return work()
    except InputError as error:
        if error.row is None:
            raise
        words = str(error).removeprefix(f"row {error.row}: ")
        raise type(error)(words, row=numbers[error.row]) from None


def warn_of_cuts(truncated: Bool[np.ndarray, "_"], max_length: int | None) -> None:
    if truncated.any():
        warnings.warn(
            f"{int(truncated.sum())} of {len(truncated)} texts were cut to {max_length} tokens",
            TruncationWarning,
            stacklevel=4,
        )


def label_index(labels: Sequence[str], label: object, *, number: int) -> int:
    """The place of a label among `labels`; InputError when it is not there. A number stands for its text."""
    text = label if isinstance(label, str) else str(label)
    try:
        return labels.index(text)
    except ValueError:
        shown = ", ".join(map(repr, labels[:8])) + (", …" if len(labels) > 8 else "")
        raise InputError(f"has the label {text!r}, which is none of {shown}", row=number) from None
