"""Kernels written in Triton, for GPUs. Nothing here is imported before a tensor on one asks for it.

Each computes what a plain way in torch computes, forward and backward, and is accepted only against that. Without
Triton (it comes with torch's CUDA builds) the plain ways run.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vitrail.layers.packing import Packing

TYPES = (torch.float32, torch.float16, torch.bfloat16)


def runs(tensor: Tensor) -> bool:
    """Whether kernels of this folder take the tensor."""
    return tensor.is_cuda and tensor.dtype in TYPES and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **choices: Any) -> None:
    """Run a kernel where its first argument, a tensor, lies: Triton alone takes the current device. An empty grid is
    nothing to do.
    """
    if all(grid):
        with torch.cuda.device_of(arguments[0]):
            kernel[grid](*arguments, **choices)


def bounds_of(packing: Packing) -> Int[Tensor, "2 tokens"]:
    """Of each token, in int32: the first token of its sequence, and the one after the last."""
    found: Tensor | None = packing.memo.get(bounds_of)
    if found is None:
        lengths = np.array(packing.lengths, dtype=np.int32)
        ends = np.cumsum(lengths, dtype=np.int32)
        bounds = np.stack([np.repeat(ends - lengths, lengths), np.repeat(ends, lengths)])
        found = packing.memo[bounds_of] = torch.from_numpy(bounds).to(packing.columns.device, non_blocking=True)
    return found
