"""Attention of many short sequences with its own backward pass, for training on the CPU.

The idea: one node in autograd's record for a whole layer. Recorded operation by operation, each run of equal lengths
would add some twenty nodes and a zeroed gradient as large as the stream for each of its slices; that is more work than
the attention of a sentence.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitrail.layers.dropout import kept
from vitrail.layers.packing import Packing


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
    return _Recorded.apply(query, key, value, packing, scale, dropout)


class _Recorded(torch.autograd.Function):
    """P = softmax(scale · Q Kᵀ), D = P ∘ M, C = D V; M zeroes and scales up, or is absent."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, dropout: float
    ) -> Tensor:
        context = torch.empty(query.shape, dtype=query.dtype)
        heads = query.shape[1]
        sizes = [count * heads * length**2 for _, count, length in packing.runs]
        masks = kept(sum(sizes), dropout, like=query).split(sizes) if dropout else [None] * len(sizes)
        weights = []
        for run, mask in zip(packing.runs, masks, strict=True):
            q, k, v = (_by_head(each, run) for each in (query, key, value))
            scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
            weight = torch.softmax(scores, -1)
            weights.append(weight)
            _put(context, run, torch.bmm(weight if mask is None else weight * mask.view_as(weight), v))
        ctx.packing, ctx.scale, ctx.masks = packing, scale, masks
        ctx.save_for_backward(query, key, value, *weights)
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """dV = Dᵀ dC;  dP = dC Vᵀ ∘ M;  dS = P ∘ (dP − Σ P ∘ dP over each row);  dQ = scale dS K;  dK = scale dSᵀ Q."""
        query, key, value, *weights = ctx.saved_tensors
        gradients = tuple(torch.empty(each.shape, dtype=each.dtype) for each in (query, key, value))
        for run, mask, weight in zip(ctx.packing.runs, ctx.masks, weights, strict=True):
            q, k, v, outer = (_by_head(each, run) for each in (query, key, value, gradient))
            mask = None if mask is None else mask.view_as(weight)
            inner = torch.bmm(outer, v.mT)
            if mask is not None:
                inner.mul_(mask)
            scores = torch._softmax_backward_data(inner, weight, -1, weight.dtype)
            empty = q.new_empty(())
            _put(gradients[0], run, torch.baddbmm(empty, scores, k, beta=0, alpha=ctx.scale))
            _put(gradients[1], run, torch.baddbmm(empty, scores.mT, q, beta=0, alpha=ctx.scale))
            _put(gradients[2], run, torch.bmm((weight if mask is None else weight * mask).mT, outer))
        return *gradients, None, None, None


def _by_head(stream: Tensor, run: tuple[int, int, int]) -> Tensor:
    """The run's part of (tokens, heads, head_dim) as (count · heads, length, head_dim); a view where count is 1."""
    first, count, length = run
    rows = stream[first : first + count * length]
    return rows.unflatten(0, (count, length)).transpose(1, 2).reshape(-1, length, stream.shape[-1])


def _put(stream: Tensor, run: tuple[int, int, int], values: Tensor) -> None:
    first, count, length = run
    rows = stream[first : first + count * length].view(count, length, *stream.shape[1:])
    rows.transpose(1, 2).copy_(values.view(count, -1, length, values.shape[-1]))
