"""x + dropout(found), and its normalisation, in one pass over memory each way; torch makes three.

A program takes one row and computes in float32. Backward, some programs share the rows out among them and add up the
gradients of gain and shift; their sums are added in a fixed order, so a run repeats.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitrail.layers.kernels.triton import launch

# That share out the rows backward: enough to fill a GPU.
_PROGRAMS = 512


@dataclass(frozen=True, kw_only=True)
class Norm:
    """rms: of rms_norm, else of layer_norm. dropout and seed: of what is added."""

    rms: bool
    epsilon: float
    dropout: float = 0.0
    seed: int = 0


def add_and_normalize(
    hidden: Float[Tensor, "tokens hidden"],
    found: Float[Tensor, "tokens hidden"],
    gain: Float[Tensor, " hidden"],
    shift: Float[Tensor, " hidden"] | None,
    norm: Norm,
    *,
    keep: bool = True,
) -> tuple[Float[Tensor, "tokens hidden"], Float[Tensor, "tokens hidden"]]:
    """(hidden + dropout(found), its normalisation), both in the type of `hidden`; differentiable.

    keep False: the first is of no use, and only computed where a gradient needs it; else its memory holds anything.
    """
    tensors = [each for each in (hidden, found, gain, shift) if each is not None]
    keep = keep or (torch.is_grad_enabled() and any(each.requires_grad for each in tensors))
    total, normed = _AddAndNormalize.apply(hidden.contiguous(), found.contiguous(), gain, shift, norm, keep)
    return total, normed


class _AddAndNormalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, found: Tensor, gain: Tensor, shift: Tensor | None, norm: Norm, keep: bool
    ) -> tuple[Tensor, Tensor]:
        tokens, size = hidden.shape
        total, normed = (torch.empty_like(hidden) for _ in range(2))
        statistics = torch.empty(2, tokens, dtype=torch.float32, device=hidden.device)
        launch(
            _forward,
            (tokens,),
            *(total, normed, statistics, hidden, found, gain, gain if shift is None else shift, tokens),
            *(norm.epsilon, norm.dropout, norm.seed),
            **_choices(size, norm, shifted=shift is not None),
            KEEPING=keep,
        )
        ctx.save_for_backward(total, gain, statistics)
        ctx.norm, ctx.shifted, ctx.found_type = norm, shift is not None, found.dtype
        return total, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, of_normed: Tensor) -> tuple[Tensor | None, ...]:
        total, gain, statistics = ctx.saved_tensors
        tokens, size = total.shape
        programs = min(_PROGRAMS, tokens)
        of_hidden, of_found = torch.empty_like(total), torch.empty_like(total, dtype=ctx.found_type)
        sums = torch.zeros(2, programs, size, dtype=torch.float32, device=total.device)
        launch(
            _backward,
            (programs,),
            *(of_hidden, of_found, sums, of_total.contiguous(), of_normed.contiguous()),
            *(total, statistics, gain, tokens, ctx.norm.dropout, ctx.norm.seed),
            **_choices(size, ctx.norm, shifted=ctx.shifted),
        )
        of_gain, of_shift = sums.sum(1).to(gain.dtype).unbind()
        return of_hidden, of_found, of_gain, of_shift if ctx.shifted else None, None, None


def _choices(size: int, norm: Norm, *, shifted: bool) -> dict[str, Any]:
    width = triton.next_power_of_2(size)
    return {
        "SIZE": size,
        "WIDTH": width,
        "RMS": norm.rms,
        "SHIFTED": shifted,
        "DROPPING": norm.dropout > 0,
        "num_warps": min(max(width // 256, 1), 8),
    }


@triton.jit
@no_type_check
def _factors(row, columns, seed, dropout):
    """What dropout multiplies a row with; the same in both directions."""
    drawn, _, _, _ = tl.philox(seed, columns, 0 * columns + row, 0 * columns, 0 * columns)
    return tl.where(tl.uint_to_uniform_float(drawn) >= dropout, 1 / (1 - dropout), 0.0)


@triton.jit(do_not_specialize=("tokens", "epsilon", "dropout", "seed"))
@no_type_check
def _forward(
    Total, Normed, Statistics, Hidden, Found, Gain, Shift, tokens, epsilon, dropout, seed,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, RMS: tl.constexpr, SHIFTED: tl.constexpr, DROPPING: tl.constexpr,
    KEEPING: tl.constexpr,
):  # fmt: skip
    row, columns = tl.program_id(0), tl.arange(0, WIDTH)
    inside, places = columns < SIZE, row.to(tl.int64) * SIZE + columns
    found = tl.load(Found + places, mask=inside, other=0.0).to(tl.float32)
    if DROPPING:
        found *= _factors(row, columns, seed, dropout)
    # rounded as it is kept, so that the stream and its normalisation agree
    total = (tl.load(Hidden + places, mask=inside, other=0.0).to(tl.float32) + found).to(Total.dtype.element_ty)
    if KEEPING:
        tl.store(Total + places, total, mask=inside)
    total = total.to(tl.float32)
    mean = 0.0
    if not RMS:
        mean = tl.sum(total, 0) / SIZE
    off = tl.where(inside, total - mean, 0.0)
    over = 1 / tl.sqrt(tl.sum(off * off, 0) / SIZE + epsilon)
    normed = off * over * tl.load(Gain + columns, mask=inside, other=0.0).to(tl.float32)
    if SHIFTED:
        normed += tl.load(Shift + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(Normed + places, normed.to(Normed.dtype.element_ty), mask=inside)
    tl.store(Statistics + row, mean)
    tl.store(Statistics + tokens + row, over)


@triton.jit(do_not_specialize=("tokens", "dropout", "seed"))
@no_type_check
def _backward(
    OfHidden, OfFound, Sums, OfTotal, OfNormed, Total, Statistics, Gain, tokens, dropout, seed,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, RMS: tl.constexpr, SHIFTED: tl.constexpr, DROPPING: tl.constexpr,
):  # fmt: skip
    program, programs, columns = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)
    inside = columns < SIZE
    gain = tl.load(Gain + columns, mask=inside, other=0.0).to(tl.float32)
    of_gain = tl.zeros((WIDTH,), tl.float32)
    of_shift = tl.zeros((WIDTH,), tl.float32)
    for row in range(program, tokens, programs):
        places = tl.cast(row, tl.int64) * SIZE + columns
        mean, over = tl.load(Statistics + row), tl.load(Statistics + tokens + row)
        even = tl.where(inside, (tl.load(Total + places, mask=inside, other=0.0).to(tl.float32) - mean) * over, 0.0)
        given = tl.load(OfNormed + places, mask=inside, other=0.0).to(tl.float32)
        of_gain += given * even
        of_shift += given
        of_even = given * gain
        found = of_even - even * (tl.sum(of_even * even, 0) / SIZE)
        if not RMS:
            found -= tl.sum(of_even, 0) / SIZE
        found = found * over + tl.load(OfTotal + places, mask=inside, other=0.0).to(tl.float32)
        tl.store(OfHidden + places, found.to(OfHidden.dtype.element_ty), mask=inside)
        if DROPPING:
            found *= _factors(row, columns, seed, dropout)
        tl.store(OfFound + places, found.to(OfFound.dtype.element_ty), mask=inside)
    tl.store(Sums + program.to(tl.int64) * SIZE + columns, of_gain, mask=inside)
    tl.store(Sums + (programs + program).to(tl.int64) * SIZE + columns, of_shift, mask=inside)
