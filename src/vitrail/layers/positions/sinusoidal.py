"""Positions as fixed waves, added to the embeddings."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.layers.packing import Packing


class SinusoidalPositions(nn.Module):
    """Waves of geometrically growing length ([Vaswani 2017], section 3.5).

    p[pos, 2i] = sin(pos / 10000^(2i/hidden)),  p[pos, 2i+1] = cos(pos / 10000^(2i/hidden))

    No parameters, no longest position. With an odd width the last column is a sine.

    [Vaswani 2017]: https://arxiv.org/abs/1706.03762
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size

    def forward(self, input_ids: Int[Tensor, " tokens"], packing: Packing) -> Float[Tensor, "tokens hidden"]:
        """float32, (tokens, hidden)."""
        exponents = (
            torch.arange(0, self.hidden_size, 2, device=input_ids.device, dtype=torch.float64) / self.hidden_size
        )
        angles = packing.columns.double().unsqueeze(-1) * torch.exp(-math.log(10000.0) * exponents)
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        return waves[:, : self.hidden_size].float()
