"""What every attention kernel takes and returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from vitrail.layers.packing import Packing

# (query, key, query columns, key columns) -> what is added to the scaled scores. The first two are (count, heads,
# queries or keys, head_dim): `count` sequences of equal length, or some of their rows; columns are (count, queries or
# keys), or (1, …) when they are the same for all. The result broadcasts to (count, heads, queries, keys).
ScoreBias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DistanceBias:
    """A `ScoreBias` that looks at nothing but the distance, the key's column minus the query's.

    values: distances of any shape -> (heads, *shape).
    """

    values: Callable[[Tensor], Tensor]

    def __call__(self, query: Tensor, key: Tensor, query_columns: Tensor, key_columns: Tensor) -> Tensor:
        distances = key_columns.unsqueeze(-2) - query_columns.unsqueeze(-1)
        return self.values(distances).movedim(0, 1).to(query.dtype)


@dataclass(frozen=True, kw_only=True)
class ContentBias:
    """A `ScoreBias` of distances that have vectors: query · keys[distance] + key · queries[distance].

    keys, queries: (heads, head_dim, buckets), one column for each bucket of distances; None for no such term.
    bucket: distances, the key's column minus the query's, of any shape -> which column.
    """

    keys: Tensor | None
    queries: Tensor | None
    bucket: Callable[[Tensor], Tensor]

    def __call__(self, query: Tensor, key: Tensor, query_columns: Tensor, key_columns: Tensor) -> Tensor:
        bucket = self.bucket(key_columns.unsqueeze(-2) - query_columns.unsqueeze(-1)).unsqueeze(1)
        bucket = bucket.expand(query.shape[0], query.shape[1], -1, -1)
        added = query.new_zeros(())
        if self.keys is not None:
            added = added + (query @ self.keys).gather(-1, bucket)
        if self.queries is not None:
            added = added + (key @ self.queries).gather(-1, bucket.transpose(-1, -2)).transpose(-1, -2)
        return added


@runtime_checkable
class AttentionKernel(Protocol):
    """softmax(scale · Q Kᵀ + bias, over the visible keys) V, inside each sequence of the packing.

    query (tokens, heads, head_dim); key and value (tokens, kv_heads, head_dim), heads a multiple of kv_heads.
    A key is visible when it is in the query's sequence, not after it if `causal`, and not farther than `window` columns
    if given. `dropout` is the probability with which each weight is zeroed (0.0 outside training).
    Returns the context, (tokens, heads, head_dim).
    """

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        packing: Packing,
        *,
        scale: float,
        causal: bool = False,
        window: int | None = None,
        bias: ScoreBias | None = None,
        dropout: float = 0.0,
    ) -> Tensor: ...


def visible_keys(query_columns: Tensor, key_columns: Tensor, *, causal: bool, window: int | None) -> Tensor | None:
    """(…, queries, keys) True where a query sees a key; None where it sees all."""
    distance = query_columns.unsqueeze(-1) - key_columns.unsqueeze(-2)
    visible = None if window is None else distance.abs() <= window
    if causal:
        visible = distance >= 0 if visible is None else visible & (distance >= 0)
    return visible
