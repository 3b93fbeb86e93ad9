"""Run by test_compiles.py as a process of its own, as Triton compiles nothing where its interpreter is chosen.

    python compile_for_h100.py [--all]

Compiles the kernels for an H100, which needs no GPU, and prints for each its name, its type, and whether the products
run on the tensor cores.
"""

import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vitrail.layers.kernels.triton import attention, attention_tiles, gate, linear, norm

POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
NUMBERS = {"scale": "fp32", "dropout": "fp32", "epsilon": "fp32"}
OF_FLOATS = ("Exponents", "Shared", "Statistics", "Sums")
ASKED: tuple[dict[str, Any], ...] = (
    {"dropout": 0.0, "window": None, "added": False},
    {"dropout": 0.1, "window": 64, "added": False},
    {"dropout": 0.1, "window": None, "added": True},
)
OF_PLACES = ("First", "End", "Columns")


def compiled(kernel: Any, dtype: torch.dtype, constants: dict[str, Any]) -> None:
    options = {name: constants.pop(name) for name in list(constants) if name.startswith("num_")}

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name in OF_FLOATS:
            return "*fp32"
        if name in OF_PLACES:
            return "*i32"
        return POINTERS[dtype] if name[0].isupper() else NUMBERS.get(name, "i32")

    source = ASTSource(fn=kernel, signature={name: kind(name) for name in kernel.arg_names}, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert len(made.asm["cubin"]) > 0
    tensor_cores = any(name in made.asm["ptx"] for name in ("wgmma", "mma.sync"))
    print(kernel.fn.__module__.rpartition(".")[2], kernel.__name__, dtype, "tensor" if tensor_cores else "plain")


def attention_choices(
    dtype: torch.dtype, head_dim: int, *, dropout: float, window: int | None, added: bool
) -> dict[str, Any]:
    query, places = torch.empty(4, 2, head_dim, dtype=dtype), torch.zeros(4, dtype=torch.int32)
    by_distance = query.new_empty(4, 2, 8) if added else None
    asked = attention.Asked(scale=0.1, dropout=dropout, window=window)
    of_tokens = attention.Places(first=places, end=places, columns=None)
    return dict(attention._Call.of(query, query, query, by_distance, by_distance, 3, of_tokens, asked).choices)


def main() -> None:
    every = "--all" in sys.argv
    for dtype in (torch.bfloat16, torch.float32, torch.float16)[: 3 if every else 2]:
        for head_dim in (32, 64, 128) if every else (64,):
            for asked in ASKED if every else ASKED[-1:]:
                choices, added = attention_choices(dtype, head_dim, **asked), bool(asked["added"])
                compiled(attention_tiles.forward, dtype, dict(choices))
                compiled(attention_tiles.backward_queries, dtype, choices | {"OF_BY_QUERY": added, "OF_BY_KEY": added})
                compiled(attention_tiles.backward_keys, dtype, dict(choices))
    half = torch.bfloat16
    for size in (384, 768, 1024) if every else (768,):
        choices = norm._choices(size, norm.Norm(rms=False, epsilon=1e-5, dropout=0.1), shifted=True)
        compiled(norm._forward, half, choices | {"KEEPING": True})
        compiled(norm._backward, half, dict(choices))
    for function in gate.FUNCTIONS if every else ("gelu",):
        compiled(gate._forward, half, gate._choices(function))
        compiled(gate._backward, half, gate._choices(function))
    for gated in (False, True):
        compiled(linear._product, half, linear._choices(768, 3072, "gelu", gated=gated, biased=True))


if __name__ == "__main__":
    main()
