"""Positions as a penalty on distance."""

import math
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from vitrail.layers.kernels.interface import DistanceBias, ScoreBias
from vitrail.layers.positions.relation import EVERY_HEAD, Relation


class Alibi(Relation):
    """−slope(head) · |i − j| added to the scores ([Press 2021]; the symmetric form for encoders).

    The slopes are 2^(−8/n), 2^(−16/n), … for n heads when n is a power of two. Otherwise those of the next lower power
    of two, followed by every other slope of the next higher one. No parameters, no longest position.

    [Press 2021]: https://arxiv.org/abs/2108.12409
    """

    def __init__(self, num_heads: int):
        super().__init__()
        self.slopes = alibi_slopes(num_heads)

    def of_layer(self, attention: Any, heads: slice = EVERY_HEAD) -> ScoreBias:
        return DistanceBias(lambda distances: self.of_distance(distances, heads))

    def of_distance(
        self, distances: Int[Tensor, "*shape"], heads: slice = EVERY_HEAD
    ) -> Float64[Tensor, "heads *shape"]:
        slopes = torch.tensor(self.slopes[heads], dtype=torch.float64, device=distances.device)
        return -slopes.view(-1, *(1 for _ in distances.shape)) * distances.abs()


def alibi_slopes(num_heads: int) -> tuple[float, ...]:
    """One slope per head, the steepest first."""

    def geometric(count: int) -> list[float]:
        return [2.0 ** (-8.0 * head / count) for head in range(1, count + 1)]

    power = 2 ** math.floor(math.log2(num_heads))
    if power == num_heads:
        return tuple(geometric(power))
    return tuple(geometric(power) + geometric(2 * power)[::2][: num_heads - power])
