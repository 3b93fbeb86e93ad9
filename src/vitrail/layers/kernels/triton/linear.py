"""f(W x + b), and f(W_gate x + b_gate) · (W x + b), as one product: the activation happens while a tile of the result
is still in registers, where torch writes the wide values, reads them, and writes them again. Inference in half
precision.

A program makes one tile of the result; tiles that share columns of the weights run side by side, so that those stay in
the cache. Sums are in float32, and so is the activation.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.kernels.triton import launch
from vitrail.layers.kernels.triton.gate import FUNCTIONS, function_and_slope

_ROWS, _DEPTH, _TILES_TOGETHER = 128, 64, 8


def activated_linear(
    values: Float[Tensor, "tokens inputs"], linear: nn.Linear, function: str, gate: nn.Linear | None = None
) -> Float[Tensor, "tokens outputs"]:
    """function: one of `gate.FUNCTIONS`; of `linear`'s result, or, where there is a gate, of the gate's."""
    tokens, outputs, columns = len(values), linear.out_features, 64 if gate is not None else 128
    out = torch.empty(tokens, outputs, dtype=values.dtype, device=values.device)
    other, biased = linear if gate is None else gate, linear.bias is not None
    biases = (linear.bias, other.bias) if biased else (values, values)
    launch(
        _product,
        (triton.cdiv(tokens, _ROWS) * triton.cdiv(outputs, columns),),
        *(out, values.contiguous(), linear.weight, other.weight, *biases, tokens),
        OUTPUTS=outputs,
        INPUTS=linear.in_features,
        FUNCTION=FUNCTIONS.index(function),
        GATED=gate is not None,
        BIASED=biased,
        ROWS=_ROWS,
        COLUMNS=columns,
        DEPTH=_DEPTH,
        TOGETHER=_TILES_TOGETHER,
        num_warps=8,
    )
    return out


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
