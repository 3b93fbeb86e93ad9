"""Dropout whose coin tosses cost little: four for each 64-bit number, where torch on the CPU takes a number for each.

x ← x · keep / (1 − p), keep true with probability 1 − p, rounded to a multiple of 2⁻¹⁶ ([Srivastava 2014]).

[Srivastava 2014]: https://jmlr.org/papers/v15/srivastava14a.html
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_SIDES = 2**16


class Dropout(nn.Dropout):
    """`nn.Dropout`, several times faster on the CPU in training. Draws from torch's generator."""

    def forward(self, input: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or self.p == 0.0:
            return input
        if input.device.type != "cpu":
            return functional.dropout(input, self.p, True)
        return input * kept(input.numel(), self.p, like=input).view(input.shape)


def kept(count: int, probability: float, *, like: Tensor) -> Float[Tensor, " count"]:
    """`count` factors on the CPU: 0 with `probability`, else what keeps the mean; in the type of `like`."""
    dropped = min(round(probability * _SIDES), _SIDES - 1)
    numbers = torch.empty((count + 3) // 4, dtype=torch.int64)
    numbers.random_(-(2**63), None)
    tosses = numbers.view(torch.int16)[:count]
    factors = torch.empty(count, dtype=like.dtype)
    return torch.ge(tosses, dropped - _SIDES // 2, out=factors).div_(1 - probability)
