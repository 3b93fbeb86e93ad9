"""Attention over a packed stream on a GPU, forward and backward: one launch for sequences of all lengths.

A program takes a tile of rows of the stream, of whatever sequences they are, and goes through the keys from the first
token of its first sequence to the last token of its last, a block at a time; a key of another sequence is masked. So
short sequences share a tile instead of leaving most of it empty, and nothing has to be sorted. The softmax is summed up
as the keys come by ([Milakov 2018]; [Dao 2022]): the scores are never in memory.

Queries, keys and values may be views of one tensor (rows far apart); the weights' dropout is drawn from a seed and the
places of query, key and head, so the backward pass draws the same again.

[Milakov 2018]: https://arxiv.org/abs/1805.02867
[Dao 2022]: https://arxiv.org/abs/2205.14135
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitrail.layers.kernels.triton import attention_tiles as tiles
from vitrail.layers.kernels.triton import launch


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is computed, beside the tensors. `window` as for `AttentionKernel`; `seed` of the dropout."""

    scale: float
    causal: bool = False
    window: int | None = None
    dropout: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Added:
    """What is added to the scores: by_query[query, head, farthest + d] + by_key[key, head, farthest + d], d the key's
    column minus the query's. Either may be None; rows of tokens may be one and the same (a stride of 0).
    """

    by_query: Float[Tensor, "tokens heads distances"] | None
    by_key: Float[Tensor, "tokens heads distances"] | None
    farthest: int


@dataclass(frozen=True, kw_only=True)
class Places:
    """Of each token, on the GPU in int32: its sequence's first token and the one after its last; its column.

    columns None: counted from the sequence's first token.
    """

    first: Int[Tensor, " tokens"]
    end: Int[Tensor, " tokens"]
    columns: Int[Tensor, " tokens"] | None


def tiled_attention(
    query: Float[Tensor, "tokens heads head_dim"],
    key: Float[Tensor, "tokens kv_heads head_dim"],
    value: Float[Tensor, "tokens kv_heads head_dim"],
    places: Places,
    asked: Asked,
    added: Added | None = None,
) -> Float[Tensor, "tokens heads head_dim"]:
    """softmax(scale · Q Kᵀ + added) V inside each sequence, as `AttentionKernel`; gradients of all that is a float."""
    added = added or Added(by_query=None, by_key=None, farthest=0)
    tensors = (None if each is None else _dense(each) for each in (query, key, value, added.by_query, added.by_key))
    result: Tensor = _Attention.apply(*tensors, added.farthest, places, asked)
    return result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, by_query: Any, by_key: Any, farthest: int, *asked: Any
    ) -> Tensor:
        tokens, heads, dim = query.shape
        out = torch.empty(tokens, heads, dim, dtype=query.dtype, device=query.device)
        exponents = torch.empty(tokens, heads, dtype=torch.float32, device=query.device)
        call = _Call.of(query, key, value, by_query, by_key, farthest, *asked)
        launch(tiles.forward, call.grid(tokens, heads), out, exponents, *call.arguments, **call.choices)
        ctx.save_for_backward(query, key, value, by_query, by_key, out, exponents)
        ctx.asked = farthest, *asked
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *given, out, exponents = ctx.saved_tensors
        query, key, value, by_query, by_key = given
        gradient = gradient.contiguous()
        # Σ weight · (its gradient), which every score's gradient needs
        shared = (out.float() * gradient.float()).sum(-1)
        of_query, of_key, of_value = (
            torch.empty_like(each, memory_format=torch.contiguous_format) for each in (query, key, value)
        )
        # a query meets no more than one key at a distance: each place is written once or never
        of_added = [
            torch.zeros(each.shape, dtype=each.dtype, device=each.device) if wanted else None
            for each, wanted in zip((by_query, by_key), ctx.needs_input_grad[3:5], strict=True)
        ]
        call = _Call.of(*given, *ctx.asked)
        seen = (gradient, exponents, shared, *call.arguments)
        written = (of_query, *(query if each is None else each for each in of_added))
        wants = {"OF_BY_QUERY": of_added[0] is not None, "OF_BY_KEY": of_added[1] is not None}
        launch(
            tiles.backward_queries,
            call.grid(len(query), query.shape[1]),
            *written,
            *seen,
            **call.choices,
            **wants,
        )
        launch(tiles.backward_keys, call.grid(len(query), key.shape[1]), of_key, of_value, *seen, **call.choices)
        return of_query, of_key, of_value, *of_added, None, None, None


@dataclass(frozen=True)
class _Call:
    """What every kernel below takes after its own tensors: `arguments` at run time, `choices` when it is compiled."""

    arguments: tuple[Any, ...]
    choices: dict[str, Any]

    @classmethod
    def of(
        cls,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        by_query: Tensor | None,
        by_key: Tensor | None,
        farthest: int,
        places: Places,
        asked: Asked,
    ) -> "_Call":
        dim, group = query.shape[2], query.shape[1] // key.shape[1]
        block = 32 if query.dtype == torch.float32 else 64
        # with four warps these would not fit the registers (seen in what is compiled for an H100; what is added by the
        # key's row does not quite fit with eight either)
        large = query.dtype == torch.float32 or dim > 64 or asked.dropout > 0 or by_key is not None
        added = [query if each is None else each for each in (by_query, by_key)]
        arguments = (
            *(query, key, value, places.first, places.end),
            places.first if places.columns is None else places.columns,
            *added,
            *(each.stride(axis) for each in (query, key, value, *added) for axis in (0, 1)),
            added[0 if by_key is None else 1].shape[2],
            *(farthest, asked.scale, -1 if asked.window is None else asked.window, asked.dropout, asked.seed),
            len(query),
        )
        choices = {
            "GROUP": group,
            "HEAD_DIM": dim,
            "DIMS": max(16, triton.next_power_of_2(dim)),
            "ROWS": block,
            "KEYS": block,
            "COUNTED": places.columns is None,
            "CAUSAL": asked.causal,
            "WINDOWED": asked.window is not None,
            "BY_QUERY": by_query is not None,
            "BY_KEY": by_key is not None,
            "DROPPING": asked.dropout > 0,
            "num_warps": 8 if large else 4,
        }
        return cls(arguments, choices)

    def grid(self, tokens: int, heads: int) -> tuple[int, int]:
        return triton.cdiv(tokens, self.choices["ROWS"]), heads


def _dense(tensor: Tensor) -> Tensor:
    """A head's values side by side; the rows may be far apart."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
