"""Tables that the engine reads by column, or by the distance of two columns.

They have no longest column: the engine is given as many as the longest row so far needs, then more.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vitrail.backends.native.library import Role
from vitrail.layers.attention import SelfAttention
from vitrail.layers.packing import Packing
from vitrail.layers.positions.alibi import Alibi
from vitrail.layers.positions.relative_bias import RelativeBias
from vitrail.layers.positions.sinusoidal import SinusoidalPositions
from vitrail.models import EncoderModel, EncoderSpec


def rotation_bases(spec: EncoderSpec) -> list[float]:
    """The different bases of the layers; a layer's rotation is its place among them."""
    return [] if spec.rotary is None else list(dict.fromkeys(spec.rotary.bases))


def tables_by_column(model: EncoderModel, num_columns: int) -> Iterator[tuple[Role, int, Tensor]]:
    """Each with its role and number, for columns 0 … num_columns - 1."""
    row = Packing.of([num_columns])
    if isinstance(model.embeddings.positions, SinusoidalPositions):
        yield Role.POSITION_TABLE, 0, model.embeddings.positions(row.columns, row)
    for number, base in enumerate(rotation_bases(model.spec)):
        assert model.spec.rotary is not None
        attention = model.layers[model.spec.rotary.bases.index(base)].get_submodule("attention")
        assert isinstance(attention, SelfAttention)
        assert attention.rotary is not None
        yield Role.ROTATION, number, torch.cat(attention.rotary.waves(row), dim=-1).squeeze(1)
    distances = torch.arange(1 - num_columns, num_columns)
    if isinstance(model.relation, Alibi | RelativeBias):
        yield Role.SCORE_BIAS, 0, model.relation.of_distance(distances).detach()
