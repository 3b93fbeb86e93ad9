"""f(gate) · up, the product of gated linear units, in one pass over memory each way; torch makes two, and four back."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitrail.layers.kernels.triton import launch

FUNCTIONS = ("relu", "gelu", "gelu_tanh", "silu")
_BLOCK = 1024


def gated(
    up: Float[Tensor, "tokens intermediate"], gate: Float[Tensor, "tokens intermediate"], function: str
) -> Float[Tensor, "tokens intermediate"]:
    """function: one of `FUNCTIONS`. up and gate may be views of one product (rows far apart); differentiable."""
    result: Tensor = _Gated.apply(
        *(each if each.stride(-1) == 1 else each.contiguous() for each in (up, gate)), function
    )
    return result


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, up: Tensor, gate: Tensor, function: str) -> Tensor:
        out = torch.empty(up.shape, dtype=up.dtype, device=up.device)
        launch(_forward, _grid(up), out, *_arguments(up, gate), **_choices(function))
        ctx.save_for_backward(up, gate)
        ctx.function = function
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        up, gate = ctx.saved_tensors
        of_up, of_gate = (torch.empty(up.shape, dtype=up.dtype, device=up.device) for _ in range(2))
        arguments = (of_up, of_gate, given.contiguous(), *_arguments(up, gate))
        launch(_backward, _grid(up), *arguments, **_choices(ctx.function))
        return of_up, of_gate, None


def _grid(up: Tensor) -> tuple[int, int]:
    return len(up), triton.cdiv(up.shape[1], _BLOCK)


def _choices(function: str) -> dict[str, int]:
    return {"FUNCTION": FUNCTIONS.index(function), "BLOCK": _BLOCK}


def _arguments(up: Tensor, gate: Tensor) -> tuple[Any, ...]:
    return up, gate, up.shape[1], up.stride(0), gate.stride(0)


@triton.jit
@no_type_check
def function_and_slope(x, FUNCTION: tl.constexpr):
    """(f(x), f'(x)); the names of FUNCTIONS in their order."""
    if FUNCTION == 0:
        value = tl.maximum(x, 0.0)
        slope = tl.where(x > 0, 1.0, 0.0)
    elif FUNCTION == 1:
        below = 0.5 * (1 + tl.erf(x * 0.7071067811865476))
        value = x * below
        slope = below + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)
    elif FUNCTION == 2:
        inner = 1.5957691216057308 * (x + 0.044715 * x * x * x)  # twice √(2/π) (…): (1 + tanh(y)) / 2 is σ(2 y)
        below = tl.sigmoid(inner)
        value = x * below
        slope = below + x * below * (1 - below) * 1.5957691216057308 * (1 + 0.134145 * x * x)
    else:
        below = tl.sigmoid(x)
        value = x * below
        slope = below * (1 + x * (1 - below))
    return value, slope


@triton.jit
@no_type_check
def _forward(Out, Up, Gate, size, up_stride, gate_stride, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < size
    up = tl.load(Up + row * up_stride + columns, mask=inside, other=0.0).to(tl.float32)
    value, _ = function_and_slope(
        tl.load(Gate + row * gate_stride + columns, mask=inside, other=0.0).to(tl.float32), FUNCTION
    )
    tl.store(Out + row * size + columns, (value * up).to(Out.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _backward(OfUp, OfGate, Given, Up, Gate, size, up_stride, gate_stride, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < size
    given = tl.load(Given + row * size + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(Up + row * up_stride + columns, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(Gate + row * gate_stride + columns, mask=inside, other=0.0).to(tl.float32)
    value, slope = function_and_slope(gate, FUNCTION)
    tl.store(OfUp + row * size + columns, (given * value).to(OfUp.dtype.element_ty), mask=inside)
    tl.store(OfGate + row * size + columns, (given * up * slope).to(OfGate.dtype.element_ty), mask=inside)
