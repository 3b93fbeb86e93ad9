"""Ways to compute attention. A kernel is a function without parameters, so it can be swapped without touching a
checkpoint.

`reference` is the equation, written out: it works in any float type and is what every other kernel is accepted against.
`fused` runs the same through torch's scaled_dot_product_attention, and on a GPU through kernels of its own (`on_gpu`).
"""

from vitrail.layers.kernels.fused import fused
from vitrail.layers.kernels.interface import AttentionKernel, ContentBias, DistanceBias, ScoreBias
from vitrail.layers.kernels.on_gpu import on_gpu
from vitrail.layers.kernels.reference import reference

KERNELS: dict[str, AttentionKernel] = {"reference": reference, "fused": fused}

__all__ = ["KERNELS", "AttentionKernel", "ContentBias", "DistanceBias", "ScoreBias", "fused", "on_gpu", "reference"]
