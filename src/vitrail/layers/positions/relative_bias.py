"""Positions as a learned bias per head and bucket of distances."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.layers.kernels.interface import DistanceBias, ScoreBias
from vitrail.layers.positions.relation import EVERY_HEAD, Relation


class RelativeBias(Relation):
    """b[head, bucket(j − i)] added to the scores ([Raffel 2019], section 2.1; MPNet).

    Half of the buckets are for keys after the query. In each half the first half holds one distance each, the rest
    grows logarithmically up to `max_distance`, beyond which all share the last.

    [Raffel 2019]: https://arxiv.org/abs/1910.10683
    """

    def __init__(self, num_buckets: int, num_heads: int, *, max_distance: int = 128):
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.table = nn.Embedding(num_buckets, num_heads)

    def of_layer(self, attention: Any, heads: slice = EVERY_HEAD) -> ScoreBias:
        return DistanceBias(lambda distances: self.of_distance(distances, heads))

    def of_distance(self, distances: Int[Tensor, "*shape"], heads: slice = EVERY_HEAD) -> Float[Tensor, "heads *shape"]:
        buckets = distance_buckets(distances, num_buckets=self.num_buckets, max_distance=self.max_distance)
        return nn.functional.embedding(buckets, self.table.weight[:, heads]).movedim(-1, 0)


def distance_buckets(distance: Int[Tensor, "*shape"], *, num_buckets: int, max_distance: int) -> Int[Tensor, "*shape"]:
    """The bucket, in 0 … num_buckets − 1, of each distance (key's place minus query's)."""
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    logarithmic = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + logarithmic.long()).clamp(max=half - 1)
    return torch.where(distance > 0, half, 0) + torch.where(size < exact, size, far)
