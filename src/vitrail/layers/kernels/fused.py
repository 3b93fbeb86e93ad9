"""Attention through torch's fused scaled_dot_product_attention, without padding.

Neighbouring sequences of equal length form a rectangle already (`packing.runs`), so each run is one call on a view of
the stream: sort the texts by length and there are few runs. A windowed layer over a long sequence is cut into blocks of
rows, each with just the keys it can see, so its work grows with length × window and not with length². Training on the
CPU takes another way where it can (`recorded`), a GPU its own kernels (`on_gpu`).
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vitrail.layers.kernels.interface import ScoreBias, visible_keys
from vitrail.layers.kernels.on_gpu import on_gpu, takes
from vitrail.layers.kernels.recorded import recorded
from vitrail.layers.packing import Packing

# The largest bias or mask that is built at once; a run that would need more is done in parts.
_MAX_BIAS_BYTES = 64 * 2**20
# Rows of a block in a windowed layer, as a multiple of the window: twice wastes half of the scores at most.
_ROWS_PER_WINDOW = 2
# Beyond it, the weights of `recorded` would fill the memory.
_LONGEST_RECORDED = 512


def fused(
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
    """See `AttentionKernel`."""
    if takes(query, packing, bias):
        return on_gpu(query, key, value, packing, scale=scale, causal=causal, window=window, bias=bias, dropout=dropout)
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    trained = dropout > 0 or _wants_gradients(query, key, value)
    if trained and _recordable(query, packing) and bias is None and not causal and window is None:
        return recorded(query, key, value, packing, scale=scale, dropout=dropout)
    contexts = []
    parts = list(_parts(packing, query.shape[1] if bias is not None else 0))
    # split, and not sliced: the gradient of a slice is as large as the stream, for every slice
    streams = (each.split([count * length for _, count, length in parts]) for each in (query, key, value))
    for (first, count, length), *tensors in zip(parts, *streams, strict=True):
        rows = slice(first, first + count * length)
        q, k, v = (each.unflatten(0, (count, length)).transpose(1, 2) for each in tensors)
        # (1, length) when all sequences of the run have the same columns, else (count, length)
        columns = packing.columns[rows].unflatten(0, (count, length))[: 1 if packing.plain else count]
        narrow = None if packing.plain and window is not None and length <= window + 1 else window
        if bias is not None:
            mask = bias(q, k, columns, columns)
            visible = visible_keys(columns, columns, causal=causal, window=window)
            if visible is not None:
                mask = mask.masked_fill(~visible.unsqueeze(1), float("-inf"))
            context = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        elif narrow is None:
            context = scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal, scale=scale)
        else:
            context = _in_blocks(q, k, v, columns, scale=scale, causal=causal, window=narrow, dropout=dropout)
        contexts.append(context.transpose(1, 2).flatten(0, 1))
    if len(contexts) == 1:
        return contexts[0]
    return torch.cat(contexts) if contexts else torch.empty_like(query)


def _wants_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _recordable(query: Tensor, packing: Packing) -> bool:
    """Whether the sequences are on the CPU, and short enough to keep their weights.

    Also asked where only dropout speaks for training, so that with and without gradients the same values are dropped.
    """
    return query.device.type == "cpu" and packing.max_length <= _LONGEST_RECORDED


def _parts(packing: Packing, num_biased_heads: int) -> Iterator[tuple[int, int, int]]:
    """The runs of the packing, cut where a bias for the whole run would be too large. 0 heads: no bias, no cut."""
    for first, count, length in packing.runs:
        bytes_each = 4 * num_biased_heads * length**2
        most = count if bytes_each == 0 else max(1, _MAX_BIAS_BYTES // bytes_each)
        for start in range(0, count, most):
            yield first + start * length, min(most, count - start), length


def _in_blocks(
    q: Tensor, k: Tensor, v: Tensor, columns: Tensor, *, scale: float, causal: bool, window: int, dropout: float
) -> Tensor:
    """Windowed attention of a run, (count, heads, length, head_dim), block of rows by block of rows.

    Columns grow by one at least, so a key within `window` columns is within `window` places.
    """
    length = q.shape[2]
    height = max(_ROWS_PER_WINDOW * window, 64)
    blocks = []
    for start in range(0, length, height):
        end = min(start + height, length)
        left, right = max(0, start - window), min(length, end if causal else end + window)
        visible = visible_keys(columns[:, start:end], columns[:, left:right], causal=causal, window=window)
        assert visible is not None
        block = scaled_dot_product_attention(
            q[:, :, start:end],
            k[:, :, left:right],
            v[:, :, left:right],
            attn_mask=visible.unsqueeze(1),
            dropout_p=dropout,
            scale=scale,
        )
        blocks.append(block)
    return torch.cat(blocks, dim=2)
