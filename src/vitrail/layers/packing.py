"""The only layout inside vitrail: a batch is one stream of tokens, and a `Packing` says where its sequences lie.

    sequences   a b c | d | e f          no padding, ever
    lengths     3       1   2
    boundaries  0       3   4     6      sequence i is boundaries[i]:boundaries[i + 1]
    columns     0 1 2   0   0 1          where each token stood in the row it came from

Columns are 0, 1, 2, … unless the row had holes or padding on the left; distances between tokens (windows, rotary
angles, relative biases) are differences of columns, so a token keeps its place when its neighbours are masked away.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """The boundaries of the sequences in a stream of tokens, and each token's place in its own sequence.

    lengths: tokens of each sequence, on the host; zero is legal.
    columns: each token's column in the row it came from.
    ordinals: for rows that were unpadded, how many non-padding ids stand in the row up to and including each token
        (what RoBERTa counts positions by); None where no token was dropped, and it can be counted from the ids.
    plain: True when the columns of every sequence are 0, 1, 2, …
    memo: values that depend on the packing alone and that layers share, such as rotary angles; lives as long as the
        batch.
    """

    lengths: tuple[int, ...]
    columns: Int[Tensor, " tokens"]
    ordinals: Int[Tensor, " tokens"] | None = None
    plain: bool = True
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, lengths: Sequence[int], *, device: torch.device | str | None = None) -> "Packing":
        """Sequences that lie one after the other, without holes."""
        lengths = tuple(lengths)
        if any(length < 0 for length in lengths):
            raise ValueError(f"lengths must not be negative, got {min(lengths)}")
        ends = np.cumsum(lengths, dtype=np.int64)
        columns = np.arange(ends[-1] if lengths else 0)
        if len(lengths) > 1:
            columns -= np.repeat(ends - lengths, lengths)
        return cls(lengths, torch.from_numpy(columns).to(device))

    @classmethod
    def of_mask(
        cls, mask: Bool[Tensor, "batch length"], is_padding: Bool[Tensor, "batch length"] | None = None
    ) -> tuple["Packing", Int[Tensor, " tokens"]]:
        """The packing of the kept places of a padded batch, and their indices in the flattened batch.

        `is_padding` marks the ids that are the padding token, which need not be the masked ones.
        """
        kept = mask.flatten().nonzero().squeeze(-1)
        columns = kept % max(mask.shape[1], 1)
        ordinals = None if is_padding is None else (~is_padding).long().cumsum(dim=1).flatten()[kept]
        lengths = tuple(mask.sum(dim=1).tolist())
        plain = bool((mask.long().diff(dim=1) <= 0).all()) and (mask.shape[1] == 0 or bool(_leading(mask).all()))
        return cls(lengths, columns, ordinals, plain), kept

    @cached_property
    def boundaries(self) -> Int[Tensor, " sequences_plus_one"]:
        ends = torch.tensor((0, *self.lengths), dtype=torch.long).cumsum(0)
        return ends.to(self.columns.device)

    @cached_property
    def sequence_ids(self) -> Int[Tensor, " tokens"]:
        """Which sequence each token belongs to."""
        lengths = torch.tensor(self.lengths, dtype=torch.long)
        ids = torch.repeat_interleave(torch.arange(len(self.lengths)), lengths)
        return ids.to(self.columns.device)

    @cached_property
    def ordinals_in_sequence(self) -> Int[Tensor, " tokens"]:
        """0, 1, 2, … inside each sequence, whatever the columns."""
        if self.plain:
            return self.columns
        return torch.arange(self.num_tokens, device=self.columns.device) - self.boundaries[self.sequence_ids]

    @property
    def num_sequences(self) -> int:
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        return self.columns.shape[0]

    @property
    def max_length(self) -> int:
        return max(self.lengths, default=0)

    @cached_property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """(first token, number of sequences, length) of each run of neighbouring sequences of equal length.

        A run is a rectangle without padding, which a kernel may view as one.
        """
        runs, first = [], 0
        for length, group in groupby(self.lengths):
            count = len(list(group))
            if length:
                runs.append((first, count, length))
            first += count * length
        return tuple(runs)

    def split(self, stream: Shaped[Tensor, "tokens *rest"]) -> tuple[Tensor, ...]:
        """The stream cut at its boundaries: one tensor per sequence."""
        return stream.split(list(self.lengths))


def _leading(mask: Tensor) -> Tensor:
    """(batch,) True where a row begins with a kept place, or keeps none."""
    return mask[:, 0] | ~mask.any(dim=1)
