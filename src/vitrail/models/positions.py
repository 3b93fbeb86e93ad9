"""The position schemes of a spec: which one, and its numbers. The modules that compute them live in
layers/positions.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SinusoidalPositions:
    """Fixed waves added to the embeddings; no longest position."""


@dataclass(frozen=True, kw_only=True)
class LearnedPositions:
    """A table added to the embeddings. `padding_id` None: by column; a number: by ids that are not it (RoBERTa)."""

    max_positions: int
    padding_id: int | None


@dataclass(frozen=True, kw_only=True)
class RotaryPositions:
    """Rotations of query and key. `bases` has one number per layer; `scaling` divides the columns.

    `trained_length`: the longest text the checkpoint was trained for, where it says so; the rotations go on beyond it.
    """

    bases: tuple[float, ...]
    rotary_dim: int
    scaling: float
    trained_length: int | None = None


@dataclass(frozen=True, kw_only=True)
class AlibiPositions:
    """A penalty on distance, a slope per head."""


@dataclass(frozen=True, kw_only=True)
class RelativeBiasPositions:
    """A learned bias per head and bucket of distances, shared by the layers (T5, MPNet)."""

    num_buckets: int
    max_distance: int

    def __post_init__(self) -> None:
        if self.num_buckets < 4 or self.max_distance <= self.num_buckets // 4:
            raise ValueError(
                f"relative bias with num_buckets {self.num_buckets} and max_distance {self.max_distance}: it needs 4 "
                "buckets at least, and a distance past the quarter of them that hold one distance each"
            )


@dataclass(frozen=True, kw_only=True)
class DisentangledPositions:
    """Vectors of distances that meet content in every layer (DeBERTa).

    `num_buckets` None: distances as they are, cut at ±max_distance. `shared_projections`: the vectors pass through the
    layer's key and query projections; else through their own.
    """

    num_buckets: int | None
    max_distance: int
    content_to_position: bool
    position_to_content: bool
    shared_projections: bool
    normalized: bool

    def __post_init__(self) -> None:
        if not (self.content_to_position or self.position_to_content):
            raise ValueError("disentangled positions need content_to_position, position_to_content, or both")
        if self.num_buckets is not None and not 2 <= self.num_buckets < 2 * (self.max_distance - 1):
            raise ValueError(
                f"disentangled positions with num_buckets {self.num_buckets} and max_distance {self.max_distance}: "
                "half of the buckets hold one distance each, and the others must reach farther"
            )


PositionScheme = (
    SinusoidalPositions
    | LearnedPositions
    | RotaryPositions
    | AlibiPositions
    | RelativeBiasPositions
    | DisentangledPositions
)
ADDED_SCHEMES = (SinusoidalPositions, LearnedPositions)
RELATION_SCHEMES = (AlibiPositions, RelativeBiasPositions, DisentangledPositions)
