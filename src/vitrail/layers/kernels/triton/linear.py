"""f(W x + b), and f(W_gate x + b_gate) · (W x + b), as one product: the activation happens while a tile of the result
is still in registers, where torch writes the wide values, reads them, and writes them again. Inference in half
precision.

A program makes one tile of the result; tiles that share columns of the weights run side by side, so that those stay in
the cache. Sums are in float32, and so is the activation.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.kernels.triton import launch
from vitrail.layers.kernels.triton.gate import FUNCTIONS, function_and_slope


def activated_linear(
    values: Float[Tensor, "tokens inputs"], linear: nn.Linear, function: str, gate: nn.Linear | None = None
) -> Float[Tensor, "tokens outputs"]:
    """function: one of `gate.FUNCTIONS`; of `linear`'s result, or, where there is a gate, of the gate's."""
    tokens, outputs = len(values), linear.out_features
    out = torch.empty(tokens, outputs, dtype=values.dtype, device=values.device)
    other, biased = linear if gate is None else gate, linear.bias is not None
    choices = _choices(linear.in_features, outputs, function, gated=gate is not None, biased=biased)
    tiles = triton.cdiv(tokens, choices["ROWS"]) * triton.cdiv(outputs, choices["COLUMNS"])
    biases = (linear.bias, other.bias) if biased else (values, values)
    launch(_product, (tiles,), out, values.contiguous(), linear.weight, other.weight, *biases, tokens, **choices)
    return out


def _choices(inputs: int, outputs: int, function: str, *, gated: bool, biased: bool) -> dict[str, Any]:
    return {
        "OUTPUTS": outputs,
        "INPUTS": inputs,
        "FUNCTION": FUNCTIONS.index(function),
        "GATED": gated,
        "BIASED": biased,
        "ROWS": 128,
        "COLUMNS": 64 if gated else 128,
        "DEPTH": 64,
        "TOGETHER": 8,
        "num_warps": 8,
    }


@triton.jit
@no_type_check
def _weights(W, columns, inputs, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr):
    """(inputs, columns) of a matrix whose rows are its outputs."""
    inside = (inputs < INPUTS)[:, None] & (columns < OUTPUTS)[None, :]
    return tl.load(W + columns[None, :] * INPUTS + inputs[:, None], mask=inside, other=0.0)


@triton.jit(do_not_specialize=("tokens",))
@no_type_check
def _product(
    Out, Values, W, WGate, B, BGate, tokens,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, FUNCTION: tl.constexpr, GATED: tl.constexpr, BIASED: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    # TOGETHER tiles of rows go through all columns before the next ones begin
    number, high, wide = tl.program_id(0), tl.cdiv(tokens, ROWS), tl.cdiv(OUTPUTS, COLUMNS)
    first = number // (TOGETHER * wide) * TOGETHER
    many = tl.minimum(high - first, TOGETHER)
    inside_group = number % (TOGETHER * wide)
    rows = (first + inside_group % many) * ROWS + tl.arange(0, ROWS)
    columns = inside_group // many * COLUMNS + tl.arange(0, COLUMNS)
    in_rows = rows < tokens
    places = rows.to(tl.int64)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    gate_sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, INPUTS, DEPTH):
        inputs = start + tl.arange(0, DEPTH)
        mask = in_rows[:, None] & (inputs < INPUTS)[None, :]
        values = tl.load(Values + places[:, None] * INPUTS + inputs[None, :], mask=mask, other=0.0)
        sums = tl.dot(values, _weights(W, columns, inputs, OUTPUTS, INPUTS), sums)
        if GATED:
            gate_sums = tl.dot(values, _weights(WGate, columns, inputs, OUTPUTS, INPUTS), gate_sums)
    in_columns = columns < OUTPUTS
    if BIASED:
        sums += tl.load(B + columns, mask=in_columns, other=0.0).to(tl.float32)[None, :]
        if GATED:
            gate_sums += tl.load(BGate + columns, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    if GATED:
        found, _ = function_and_slope(gate_sums, FUNCTION)
        found *= sums
    else:
        found, _ = function_and_slope(sums, FUNCTION)
    mask = in_rows[:, None] & in_columns[None, :]
    tl.store(Out + places[:, None] * OUTPUTS + columns[None, :], found.to(Out.dtype.element_ty), mask=mask)
