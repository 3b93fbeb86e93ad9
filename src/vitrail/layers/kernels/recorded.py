"""Attention of many short sequences with its own backward pass, for training on the CPU.

Two ideas. Sequences of like length are laid out as one rectangle, heads before places, and the shorter ones are filled
up where that costs less than a rectangle of their own: a step then has a few products of stacked matrices, not one for
each length. And the whole layer is one node in autograd's record: operation by operation, each rectangle would add some
twenty nodes and a zeroed gradient as large as the stream, which is more work than the attention of a sentence.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitrail.layers.dropout import kept
from vitrail.layers.packing import Packing

# A rectangle of its own costs as much time as so many scores: a dozen operations have to be started for it.
_SCORES_PER_RECTANGLE = 2**14


def recorded(
    query: Float[Tensor, "tokens heads head_dim"],
    key: Float[Tensor, "tokens heads head_dim"],
    value: Float[Tensor, "tokens heads head_dim"],
    packing: Packing,
    *,
    scale: float,
    dropout: float,
) -> Float[Tensor, "tokens heads head_dim"]:
    """softmax(scale · Q Kᵀ) V inside each sequence; every key is visible. The weights are kept for the way back."""
    return _Recorded.apply(query, key, value, _layout(packing.lengths, query.shape[1]), scale, dropout)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of a stream, (token, head) by (token, head), stand in rectangles of (sequence, head, place).

    shapes: (sequences · heads, places) of each rectangle. reads: for each row of the rectangles, one after the other,
    the row of the stream it is a copy of; a place that fills up copies the sequence's last. returns: for each row of
    the stream, its own in the rectangles. filled: the rows that fill up. masks: for each rectangle (matrices, 1,
    places), -inf on keys that fill up, or None where there are none.
    """

    shapes: tuple[tuple[int, int], ...]
    reads: Int[Tensor, " rows"]
    returns: Int[Tensor, " stream_rows"]
    filled: Int[Tensor, " filled_rows"]
    masks: tuple[Float[Tensor, "_ 1 _"] | None, ...]

    def into(self, stream: Float[Tensor, "tokens heads head_dim"]) -> Float[Tensor, "rows head_dim"]:
        return stream.reshape(-1, stream.shape[-1]).index_select(0, self.reads)

    def back(self, rows: Float[Tensor, "rows head_dim"], like: Tensor) -> Float[Tensor, "tokens heads head_dim"]:
        return rows.index_select(0, self.returns).view(like.shape)

    def rectangles(self, rows: Float[Tensor, "rows head_dim"]) -> list[Float[Tensor, "_ _ head_dim"]]:
        """Views of the rows, (matrices, places, head_dim) each."""
        parts = rows.split([matrices * places for matrices, places in self.shapes])
        return [part.view(*shape, -1) for part, shape in zip(parts, self.shapes, strict=True)]


class _Recorded(torch.autograd.Function):
    """P = softmax(scale · Q Kᵀ), D = P ∘ M, C = D V; M zeroes and scales up, or is absent."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, dropout: float
    ) -> Tensor:
        rows = [layout.into(each) for each in (query, key, value)]
        context = torch.empty_like(rows[2])
        sizes = [matrices * places**2 for matrices, places in layout.shapes]
        drops = kept(sum(sizes), dropout, like=query).split(sizes) if dropout else [None] * len(sizes)
        weights = []
        parts = zip(*map(layout.rectangles, (*rows, context)), layout.masks, drops, strict=True)
        for q, k, v, out, mask, drop in parts:
            scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
            if mask is not None:
                scores += mask
            weight = torch.softmax(scores, -1)
            weights.append(weight)
            torch.bmm(weight if drop is None else weight * drop.view_as(weight), v, out=out)
        ctx.layout, ctx.scale, ctx.drops = layout, scale, drops
        ctx.save_for_backward(*rows, *weights)
        return layout.back(context, query)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """dV = Dᵀ dC;  dP = dC Vᵀ ∘ M;  dS = P ∘ (dP − Σ P ∘ dP over each row);  dQ = scale dS K;  dK = scale dSᵀ Q."""
        layout, scale = ctx.layout, ctx.scale
        rows, weights = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        outer = layout.into(gradient).index_fill_(0, layout.filled, 0)
        gradients = [torch.empty_like(outer) for _ in range(3)]
        parts = zip(*map(layout.rectangles, (*rows, outer, *gradients)), weights, ctx.drops, strict=True)
        for q, k, v, dc, dq, dk, dv, weight, drop in parts:
            inner = torch.bmm(dc, v.mT)
            if drop is not None:
                drop = drop.view_as(weight)
                inner.mul_(drop)
            scores = torch._softmax_backward_data(inner, weight, -1, weight.dtype)
            torch.baddbmm(dq, scores, k, beta=0, alpha=scale, out=dq)
            torch.baddbmm(dk, scores.mT, q, beta=0, alpha=scale, out=dk)
            torch.bmm((weight if drop is None else weight * drop).mT, dc, out=dv)
        return *(layout.back(each, gradient) for each in gradients), None, None, None


@lru_cache(maxsize=4)
def _layout(lengths: tuple[int, ...], heads: int) -> Layout:
    """Kept for the layers of a step, which share their packing."""
    starts = np.cumsum([0, *lengths])
    shapes, reads, masks, filled = [], [], [], []
    returns = np.empty(starts[-1] * heads, dtype=np.int64)
    first = 0
    for sequences in _together(lengths, heads):
        sizes, places = np.array([lengths[each] for each in sequences]), lengths[sequences[0]]
        column = np.arange(places)
        own = (column < sizes[:, None])[:, None].repeat(heads, axis=1)
        token = starts[sequences][:, None] + np.minimum(column, sizes[:, None] - 1)
        stream_rows = token[:, None] * heads + np.arange(heads)[:, None]
        rows = first + np.arange(own.size).reshape(own.shape)
        returns[stream_rows[own]] = rows[own]
        shapes.append((len(sequences) * heads, places))
        reads.append(stream_rows.ravel())
        filled.append(rows[~own])
        hidden = np.where(own, 0.0, -np.inf).reshape(-1, 1, places).astype(np.float32)
        masks.append(None if own.all() else torch.from_numpy(hidden))
        first += own.size
    joined = [torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *each])) for each in (reads, filled)]
    return Layout(
        shapes=tuple(shapes), reads=joined[0], returns=torch.from_numpy(returns), filled=joined[1], masks=tuple(masks)
    )


def _together(lengths: tuple[int, ...], heads: int) -> list[list[int]]:
    """The sequences of each rectangle, the longest first; those without tokens are in none."""
    found: list[list[int]] = []
    longest_first = sorted((each for each in range(len(lengths)) if lengths[each]), key=lambda each: -lengths[each])
    for length, group in groupby(longest_first, key=lambda each: lengths[each]):
        equal = list(group)
        added = 0 if not found else heads * len(equal) * (lengths[found[-1][0]] ** 2 - length**2)
        if found and added <= _SCORES_PER_RECTANGLE:
            found[-1].extend(equal)
        else:
            found.append(equal)
    return found
