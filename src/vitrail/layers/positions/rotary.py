"""Positions as rotations of query and key."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.packing import Packing


class Rotary(nn.Module):
    """Turn each pair of dimensions by an angle proportional to the column ([Su 2021], eq. 34).

    For pair i of `rotary_dim`/2 pairs, θᵢ = base^(−2i/rotary_dim), and
        (x, y) → (x cos mθ − y sin mθ, y cos mθ + x sin mθ)
    at column m, so that the product of a query and a key depends on the difference of their columns only. Pair i is the
    dimensions (i, i + rotary_dim/2); dimensions past rotary_dim stay as they are.

    scaling: divides the columns (position interpolation, [Chen 2023]); 1.0 for none.

    [Su 2021]: https://arxiv.org/abs/2104.09864
    [Chen 2023]: https://arxiv.org/abs/2306.15595
    """

    def __init__(self, rotary_dim: int, *, base: float = 10000.0, scaling: float = 1.0):
        super().__init__()
        if rotary_dim % 2:
            raise ValueError(f"rotary_dim must be even, got {rotary_dim}")
        self.rotary_dim = rotary_dim
        self.base = base
        self.scaling = scaling

    def forward(
        self, vectors: Float[Tensor, "tokens heads head_dim"], packing: Packing
    ) -> Float[Tensor, "tokens heads head_dim"]:
        cosine, sine = self.waves(packing)
        turned, rest = vectors.split([self.rotary_dim, vectors.shape[-1] - self.rotary_dim], dim=-1)
        x, y = turned.to(torch.promote_types(turned.dtype, torch.float32)).chunk(2, dim=-1)
        turned = torch.cat([x * cosine - y * sine, y * cosine + x * sine], dim=-1).to(vectors.dtype)
        return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], dim=-1)

    def waves(self, packing: Packing) -> tuple[Float[Tensor, "tokens 1 pairs"], Float[Tensor, "tokens 1 pairs"]]:
        """cos and sin of the angles, in float32 whatever the model's type: a half-precision angle is off by whole
        turns.
        """
        key = (self.rotary_dim, self.base, self.scaling)
        if key not in packing.memo:
            pairs = torch.arange(0, self.rotary_dim, 2, dtype=torch.float32, device=packing.columns.device)
            frequencies = 1.0 / (self.base ** (pairs / self.rotary_dim)) / self.scaling
            angles = (packing.columns.float().unsqueeze(-1) * frequencies).unsqueeze(1)
            packing.memo[key] = (angles.cos(), angles.sin())
        return packing.memo[key]
