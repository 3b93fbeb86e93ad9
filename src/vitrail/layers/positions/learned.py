"""Positions as a learned table, added to the embeddings."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.layers.packing import Packing


class LearnedPositions(nn.Module):
    """One trained vector per position ([Devlin 2018]).

    What a token's position is differs between families:
    - by column (BERT): its column in the row, so a text padded on the left starts late;
    - by non-padding ids (RoBERTa): `padding_id` + the number of non-padding ids up to it, and `padding_id` itself for
      the padding token. The first position of a text is then padding_id + 1.

    [Devlin 2018]: https://arxiv.org/abs/1810.04805
    """

    def __init__(self, max_positions: int, hidden_size: int, *, padding_id: int | None = None):
        """`padding_id` None counts by column; a number counts by ids that are not it."""
        super().__init__()
        self.max_positions = max_positions
        self.padding_id = padding_id
        self.table = nn.Embedding(max_positions, hidden_size, padding_idx=padding_id)

    @property
    def max_length(self) -> int:
        """The longest sequence the table has positions for."""
        return self.max_positions if self.padding_id is None else self.max_positions - self.padding_id - 1

    def forward(self, input_ids: Int[Tensor, " tokens"], packing: Packing) -> Float[Tensor, "tokens hidden"]:
        return self.table(self.position_ids(input_ids, packing))

    def position_ids(self, input_ids: Int[Tensor, " tokens"], packing: Packing) -> Int[Tensor, " tokens"]:
        """Each token's row of the table."""
        positions = packing.columns if self.padding_id is None else self._by_ids(input_ids, packing, self.padding_id)
        within = packing.plain and packing.max_length <= self.max_length  # known without waiting for the device
        if not within and positions.numel() and int(positions.max()) >= self.max_positions:
            raise ValueError(
                f"a sequence of {packing.max_length} tokens needs position {int(positions.max())}, the table has "
                f"{self.max_positions}; give at most {self.max_length} tokens"
            )
        return positions

    def _by_ids(self, input_ids: Tensor, packing: Packing, padding_id: int) -> Tensor:
        counted = input_ids != padding_id
        ordinals = packing.ordinals
        if ordinals is None:
            total = torch.cat([input_ids.new_zeros(1), counted.long().cumsum(0)])
            ordinals = total[1:] - total[packing.boundaries[packing.sequence_ids]]
        return ordinals * counted + padding_id
