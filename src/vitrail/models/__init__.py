"""Bricks assembled from a spec: `EncoderSpec` describes a model, `EncoderModel` is one."""

from vitrail.models.encoder import EncoderModel
from vitrail.models.positions import (
    AlibiPositions,
    DisentangledPositions,
    LearnedPositions,
    PositionScheme,
    RelativeBiasPositions,
    RotaryPositions,
    SinusoidalPositions,
)
from vitrail.models.spec import DropoutSpec, EncoderSpec

__all__ = [
    "AlibiPositions",
    "DisentangledPositions",
    "DropoutSpec",
    "EncoderModel",
    "EncoderSpec",
    "LearnedPositions",
    "PositionScheme",
    "RelativeBiasPositions",
    "RotaryPositions",
    "SinusoidalPositions",
]
