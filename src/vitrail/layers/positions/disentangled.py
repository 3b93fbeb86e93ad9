"""Positions that meet content: DeBERTa's disentangled attention."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vitrail.layers.dropout import Dropout
from vitrail.layers.kernels.interface import ContentBias, ScoreBias
from vitrail.layers.positions.relation import EVERY_HEAD, Relation


class DisentangledRelation(Relation):
    """Distances have vectors of their own, and take part in the scores as queries and keys ([He 2020], eq. 4).

    added to the score of query i and key j, with δ the bucket of i − j:
        scale · (q_i · K_r[δ]  +  k_j · Q_r[δ])     content to position, and position to content
    K_r and Q_r are the distances' vectors through the layer's key and query projections, or projections of their own.
    The scale is 1/√(head_dim · (1 + number of these terms)), the attention's own.

    num_buckets: distances are bucketed up to ±num_buckets (logarithmically past half of it, up to max_distance), or,
        when None, kept as they are and cut at ±max_distance.

    [He 2020]: https://arxiv.org/abs/2006.03654
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        num_buckets: int | None,
        max_distance: int,
        content_to_position: bool,
        position_to_content: bool,
        normalization: nn.Module | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.span = num_buckets or max_distance
        self.content_to_position = content_to_position
        self.position_to_content = position_to_content
        self.table = nn.Embedding(2 * self.span, hidden_size)
        self.normalization = normalization
        self.dropout = Dropout(dropout)

    def of_layer(self, attention: Any, heads: slice = EVERY_HEAD) -> ScoreBias:
        vectors = self.table.weight if self.normalization is None else self.normalization(self.table.weight)
        vectors = self.dropout(vectors)

        def as_matrix(project: nn.Module) -> Tensor:
            """(heads, head_dim, 2 · span): its product with queries or keys is one score per bucket."""
            # `forward`, and not a call: who listens at the point query or key wants those of the tokens
            by_head = project.forward(vectors).unflatten(-1, (-1, attention.head_dim))[:, heads]
            return by_head.permute(1, 2, 0) * attention.scale

        keys = as_matrix(attention.relative_key or attention.key) if self.content_to_position else None
        queries = as_matrix(attention.relative_query or attention.query) if self.position_to_content else None

        return ContentBias(keys=keys, queries=queries, bucket=lambda distance: self._buckets(-distance))

    def _buckets(self, distance: Tensor) -> Tensor:
        """The row of the table for each distance, the query's column minus the key's."""
        if self.num_buckets is not None:
            distance = logarithmic_buckets(distance, num_buckets=self.num_buckets, max_distance=self.max_distance)
        return (distance + self.span).clamp(0, 2 * self.span - 1)


def logarithmic_buckets(
    distance: Int[Tensor, "*shape"], *, num_buckets: int, max_distance: int
) -> Int[Tensor, "*shape"]:
    """Distances up to num_buckets/2 as they are, larger ones logarithmically; the sign is kept."""
    middle = num_buckets // 2
    size = torch.where(distance.abs() < middle, middle - 1, distance.abs())
    # in float32 throughout, as checkpoints were trained: a distance on the edge of a bucket must not change sides
    longest = torch.log(torch.tensor((max_distance - 1) / middle, device=distance.device))
    logarithmic = torch.log(size / middle) / longest * (middle - 1)
    far = (torch.ceil(logarithmic) + middle) * distance.sign()
    return torch.where(distance.abs() <= middle, distance, far.long())
