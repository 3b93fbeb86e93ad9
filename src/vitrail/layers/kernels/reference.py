"""Attention as the equation says it, one sequence at a time. Slow, exact in any float type, the oracle of the
others.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.layers.kernels.interface import ScoreBias, visible_keys
from vitrail.layers.packing import Packing


def reference(
    query: Float[Tensor, "tokens heads head_dim"],
    key: Float[Tensor, "tokens kv_heads head_dim"],
    value: Float[Tensor, "tokens kv_heads head_dim"],
    packing: Packing,
    *,
    scale: float,
    causal: bool = False,
    window: int | None = None,
    bias: ScoreBias | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "tokens heads head_dim"]:
    """softmax(scale · Q Kᵀ + bias) V ([Vaswani 2017], eq. 1); see `AttentionKernel`.

    [Vaswani 2017]: https://arxiv.org/abs/1706.03762
    """
    group = query.shape[1] // key.shape[1]
    contexts = []
    for q, k, v, columns in zip(*map(packing.split, (query, key, value, packing.columns)), strict=True):
        q, k, v = (each.transpose(0, 1) for each in (q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)))
        scores = scale * q @ k.transpose(-1, -2)
        if bias is not None:
            scores = scores + bias(q.unsqueeze(0), k.unsqueeze(0), columns.unsqueeze(0)).squeeze(0)
        visible = visible_keys(columns, columns, causal=causal, window=window)
        if visible is not None:
            scores = scores.masked_fill(~visible, float("-inf"))
        weights = torch.nn.functional.dropout(scores.softmax(dim=-1), dropout, training=dropout > 0)
        contexts.append((weights @ v).transpose(0, 1))
    return torch.cat(contexts) if contexts else torch.empty_like(query)
