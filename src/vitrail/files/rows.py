"""One row of an input: its number, its columns, and the text in it or the reason why there is none.

A row that cannot be used costs itself and nothing else: `text` is None, `error` says why, and the row keeps
its number, so that an output always has as many rows as its input. A file that as a whole is not what its
name says is a `FileFormatError` instead.
"""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from vitrail.errors import FileFormatError

MAX_ROW_BYTES = 16 * 2**20
"""A longer line, or a longer text in Parquet, is a row that cannot be used; it bounds the memory of every reader."""

TEXT_COLUMNS = ("text", "sentence", "content")
"""Where the text is looked for when nobody says, in this order."""

RESERVED_COLUMNS = frozenset(
    ["row", "embedding", "input_tokens", "used_tokens", "error", "token_ids", "offsets", "special", "token_embeddings"]
)
"""The columns an output adds. An input that has one of them is refused: its own values would be lost."""


class Row(NamedTuple):
    """`number` counts from 0 over all inputs; `size` is about the bytes the row takes in its file.

    Values of a Parquet file stay Arrow scalars, so that their types survive; all others are plain Python.
    """

    number: int
    columns: Mapping[str, object]
    text: str | None
    error: str | None
    size: int


def choose_text_column(columns: Collection[str], wanted: str | None, *, source: str) -> str:
    """The column that holds the text: `wanted`, else the only one, else the first of `TEXT_COLUMNS` there is."""
    listing = ", ".join(columns) or "none"
    if wanted is not None:
        if wanted in columns:
            return wanted
        near = get_close_matches(wanted, columns, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise FileFormatError(f"{source} has no column {wanted!r}; it has: {listing}.{hint}")
    if len(columns) == 1:
        return next(iter(columns))
    for name in TEXT_COLUMNS:
        if name in columns:
            return name
    raise FileFormatError(f"{source}: which column holds the text? Name it (--column) among: {listing}.")


def refuse_reserved(columns: Iterable[str], *, source: str) -> None:
    """Raise `FileFormatError` when a column has a name that the output needs."""
    if clashes := sorted(RESERVED_COLUMNS.intersection(columns)):
        raise FileFormatError(
            f"{source} has the column {clashes[0]!r}, a name that the output uses. Rename or drop it"
            + (f" (also: {', '.join(clashes[1:])})." if clashes[1:] else ".")
        )


def check_text(value: object) -> tuple[str | None, str | None]:
    """(text, None) when `value` can be embedded, else (None, the reason)."""
    if value is None:
        return None, "the text is null"
    if not isinstance(value, str):
        return None, f"the text is not a string but {type(value).__name__}"
    if len(value) > MAX_ROW_BYTES:
        return None, f"the text is longer than {MAX_ROW_BYTES} characters"
    return value, None
