"""Attention on a GPU, without padding: which kernel takes which part of the stream.

    short sequences, windows, biases by distance, float32, dropout    tiles of the stream (`triton/attention.py`)
    sequences longer than 128, half precision, none of these          torch's varlen_attn, whose tiles are long
    anything else                                                     `fused`, a rectangle at a time

A stream that is sorted, the longest first, is cut in two where its sequences become short.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.layers.kernels import triton
from vitrail.layers.kernels.interface import DistanceBias, ScoreBias
from vitrail.layers.packing import Packing

if TYPE_CHECKING:
    from vitrail.layers.kernels.triton.attention import Places

# From here on torch's kernel is faster, and beyond the second, tiles that mask other sequences are a waste.
LONG, LONGEST_TILED = 128, 512


def takes(query: Tensor, bias: ScoreBias | None) -> bool:
    """Whether `on_gpu` computes this; the gradient of a learned bias is `fused`'s."""
    if not triton.runs(query):
        return False
    return bias is None or (isinstance(bias, DistanceBias) and not _learned(bias, query))


def on_gpu(
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
    """See `AttentionKernel`; for what `takes` takes."""
    from vitrail.layers.kernels.triton.attention import Asked, tiled_attention

    sequences = 0
    if query.dtype != torch.float32 and bias is None and window is None and not causal and not dropout:
        sequences = _long_ones(packing.lengths)
    long = sum(packing.lengths[:sequences])
    # split, and not sliced: the gradient of a slice is as large as the stream
    ahead, rest = zip(*(each.split([long, len(each) - long]) for each in (query, key, value)), strict=True)
    contexts = []
    if long:
        contexts.append(_varlen(ahead, packing, sequences, scale))
    if long < packing.num_tokens:
        seed = int(torch.randint(2**31, ())) if dropout else 0
        asked = Asked(scale=scale, causal=causal, window=window, dropout=dropout, seed=seed)
        table = _table(bias, packing) if isinstance(bias, DistanceBias) else None
        q, k, v = rest
        contexts.append(tiled_attention(q, k, v, _places(packing, long), asked, table))
    if len(contexts) == 1:
        return contexts[0]
    return torch.cat(contexts) if contexts else torch.empty_like(query)


def _long_ones(lengths: tuple[int, ...]) -> int:
    """How many sequences, from the first on, are for torch's kernel: the long ones, or all."""
    count = next((number for number, length in enumerate(lengths) if length <= LONG), len(lengths))
    return len(lengths) if max(lengths[count:], default=0) > LONGEST_TILED else count


def _varlen(
    projected: tuple[Tensor, ...], packing: Packing, sequences: int, scale: float
) -> Float[Tensor, "tokens heads head_dim"]:
    from torch.nn.attention.varlen import varlen_attn

    boundaries = packing.memo.get("varlen")
    if boundaries is None:
        boundaries = packing.memo["varlen"] = packing.boundaries.int()
    query, key, value = projected
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    # its own scale is 1/√head_dim
    factor = scale * query.shape[2] ** 0.5
    query = query if abs(factor - 1) < 1e-6 else query * factor
    longest, cut = max(packing.lengths[:sequences]), boundaries[: sequences + 1]
    found = varlen_attn(query, key, value, cut, cut, longest, longest)
    return found[0] if isinstance(found, tuple) else found


def _places(packing: Packing, start: int) -> "Places":
    """Of the tokens from `start` on, where a sequence begins."""
    from vitrail.layers.kernels.triton.attention import Places

    first, end = (triton.bounds_of(packing)[:, start:] - start).unbind()
    columns = None if packing.plain else packing.columns[start:].int()
    return Places(first=first, end=end, columns=columns)


def _table(bias: DistanceBias, packing: Packing) -> Float[Tensor, "heads distances"]:
    """The bias of every distance that occurs, from −n to n; once for a batch, as layers share a relation."""
    farthest = packing.max_length - 1 if packing.plain else int(packing.columns.max())
    distances = torch.arange(-farthest, farthest + 1, device=packing.columns.device)
    return bias.values(distances).detach().float().contiguous()


def _learned(bias: DistanceBias, query: Tensor) -> bool:
    return torch.is_grad_enabled() and bias.values(torch.zeros(1, dtype=torch.long, device=query.device)).requires_grad
