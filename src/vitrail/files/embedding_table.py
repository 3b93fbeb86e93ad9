"""What an output holds, as Arrow tables: the input's columns between `row` and what the model made of the text.

`embedding` is a fixed-size list of float32, null where the row failed and `error` says why. With one vector per token
there are lists instead: `token_ids`, `offsets` (code points of the text), `special`, `token_embeddings`.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer

from vitrail.files.columns import input_table
from vitrail.files.rows import Row


@runtime_checkable
class TokenVectors(Protocol):
    """One text, token by token."""

    @property
    def ids(self) -> Integer[np.ndarray, " tokens"]: ...
    @property
    def vectors(self) -> Float[np.ndarray, "tokens hidden"]: ...
    @property
    def offsets(self) -> Integer[np.ndarray, "tokens 2"]: ...
    @property
    def special(self) -> Bool[np.ndarray, " tokens"]: ...


def embedding_table(
    rows: Sequence[Row],
    errors: Sequence[str | None],
    *,
    vectors: Float[np.ndarray, "rows dimensions"],
    input_tokens: Integer[np.ndarray, " rows"],
    used_tokens: Integer[np.ndarray, " rows"],
) -> Any:
    """One vector per row. What stands in the arrays for a row with an error is not used."""
    import pyarrow as pa

    failed = np.array([error is not None for error in errors], dtype=bool)
    kept = np.where(failed[:, None], np.float32(0), vectors).astype(np.float32, copy=False)
    embedding = pa.FixedSizeListArray.from_arrays(
        pa.array(kept.ravel()), vectors.shape[1], mask=pa.array(failed) if failed.any() else None
    )
    return assemble(
        rows,
        errors,
        {
            "embedding": embedding,
            "input_tokens": pa.array(input_tokens, pa.int64(), mask=failed),
            "used_tokens": pa.array(used_tokens, pa.int64(), mask=failed),
        },
    )


def token_table(
    rows: Sequence[Row], errors: Sequence[str | None], *, texts: Sequence[TokenVectors | None], hidden: int
) -> Any:
    """One vector per token; `texts` is None where the row failed."""
    import pyarrow as pa

    present = [text for text in texts if text is not None]
    lengths = [0 if text is None else len(text.ids) for text in texts]
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    failed = [text is None for text in texts]

    def lists(values: Any) -> Any:
        return pa.ListArray.from_arrays(pa.array(bounds), values, mask=pa.array(failed) if any(failed) else None)

    def joined(arrays: list[Any], kind: Any, *shape: int) -> Any:
        return np.concatenate([np.zeros((0, *shape), kind), *(np.asarray(array, kind) for array in arrays)])

    offsets = joined([text.offsets for text in present], np.int32, 2)
    vectors = joined([text.vectors for text in present], np.float32, hidden)
    return assemble(
        rows,
        errors,
        {
            "token_ids": lists(pa.array(joined([text.ids for text in present], np.int32))),
            "offsets": lists(pa.FixedSizeListArray.from_arrays(pa.array(offsets.ravel()), 2)),
            "special": lists(pa.array(joined([text.special for text in present], np.bool_))),
            "token_embeddings": lists(pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), hidden)),
            "used_tokens": pa.array(lengths, pa.int64(), mask=np.array(failed, dtype=bool)),
        },
    )


def embedding_schema(size: int, *, tokens: bool) -> Any:
    """The schema of an output without rows, and so without columns of the input."""
    nothing = np.zeros(0, np.int64)
    if tokens:
        return token_table([], [], texts=[], hidden=size).schema
    vectors = np.zeros((0, size), np.float32)
    return embedding_table([], [], vectors=vectors, input_tokens=nothing, used_tokens=nothing).schema


def assemble(rows: Sequence[Row], errors: Sequence[str | None], outputs: dict[str, Any]) -> Any:
    import pyarrow as pa

    columns = input_table(rows)
    made = {**outputs, "error": pa.array(errors, pa.string())}
    fields = [pa.field("row", pa.int64()), *columns.schema, *(pa.field(name, made[name].type) for name in made)]
    arrays = [pa.array([row.number for row in rows], pa.int64()), *columns.columns, *made.values()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
