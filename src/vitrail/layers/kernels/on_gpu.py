"""Attention on a GPU, without padding: which kernel takes which part of the stream.

    short sequences, windows, biases, float32, dropout          tiles of the stream (`triton/attention.py`)
    sequences longer than 128, half precision, none of these    torch's varlen_attn, whose tiles are long
    anything else                                               `fused`, a rectangle at a time

A stream that is sorted, the longest first, is cut in two where its sequences become short. What a bias adds is laid out
by distance before the launch: in a row for each head, or, where the bias looks at queries and keys or is learned, in a
row for each token and head. Those rows are kept only up to a distance of 512.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.layers.kernels import triton
from vitrail.layers.kernels.interface import ContentBias, DistanceBias, ScoreBias
from vitrail.layers.packing import Packing

if TYPE_CHECKING:
    from vitrail.layers.kernels.triton.attention import Added, Places

# From here on torch's kernel is faster, and beyond the second, tiles that mask other sequences are a waste.
LONG, LONGEST_TILED = 128, 512
# Rows for every token hold no larger distance: they grow with length².
_FARTHEST_OF_TOKENS = 512


def takes(query: Tensor, packing: Packing, bias: ScoreBias | None) -> bool:
    """Whether `on_gpu` computes this."""
    if not triton.runs(query):
        return False
    if bias is None or (isinstance(bias, DistanceBias) and not _learned(bias, query)):
        return True
    return isinstance(bias, DistanceBias | ContentBias) and _farthest(packing) <= _FARTHEST_OF_TOKENS


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

    if torch.is_autocast_enabled(query.device.type):  # as torch's own attention does
        half = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(half), key.to(half), value.to(half)
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
        q, k, v = rest
        contexts.append(tiled_attention(q, k, v, _places(packing, long), asked, _added(bias, q, k, packing)))
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

    boundaries = packing.memo.get(_varlen)
    if boundaries is None:
        boundaries = packing.memo[_varlen] = packing.boundaries.int()
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
    """Of the tokens from `start` on, where a sequence begins; once for a batch."""
    from vitrail.layers.kernels.triton.attention import Places

    found: Places | None = packing.memo.get((_places, start))
    if found is None:
        first, end = (triton.bounds_of(packing)[:, start:] - start).unbind()
        columns = None if packing.plain else packing.columns[start:].int()
        found = packing.memo[_places, start] = Places(first=first, end=end, columns=columns)
    return found


def _added(bias: ScoreBias | None, query: Tensor, key: Tensor, packing: Packing) -> "Added | None":
    """What the bias adds at every distance that occurs."""
    from vitrail.layers.kernels.triton.attention import Added

    if bias is None:
        return None
    farthest = _farthest(packing)
    # eight at a time: products in half precision want rows that begin at multiples of 16 bytes
    distances = torch.arange(-farthest, 8 * (farthest // 4 + 1) - farthest, device=query.device)
    if isinstance(bias, DistanceBias):
        values = bias.values(distances).float().contiguous()
        return Added(by_query=values.expand(len(query), -1, -1), by_key=None, farthest=farthest)
    assert isinstance(bias, ContentBias)
    bucket = bias.bucket(distances)

    def meet(vectors: Tensor, columns: Tensor | None) -> Tensor | None:
        if columns is None:
            return None
        each = vectors.repeat_interleave(len(columns) // vectors.shape[1], 1).transpose(0, 1)
        return (each @ columns[..., bucket].to(each.dtype)).transpose(0, 1)

    return Added(by_query=meet(query, bias.keys), by_key=meet(key, bias.queries), farthest=farthest)


def _farthest(packing: Packing) -> int:
    """No two tokens of a sequence are farther apart."""
    if packing.plain:
        return max(packing.max_length - 1, 0)
    if _farthest not in packing.memo:
        packing.memo[_farthest] = int(packing.columns.max()) if packing.num_tokens else 0
    farthest: int = packing.memo[_farthest]
    return farthest


def _learned(bias: DistanceBias, query: Tensor) -> bool:
    return torch.is_grad_enabled() and bias.values(torch.zeros(1, dtype=torch.long, device=query.device)).requires_grad
