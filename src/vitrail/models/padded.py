"""The door for rectangles: padded ids in, padded hidden states out. Inside there is only the packed stream."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitrail.layers.packing import Packing
from vitrail.models.encoder import EncoderModel
from vitrail.models.positions import LearnedPositions


def run_padded(
    model: EncoderModel,
    input_ids: Int[Tensor, "batch length"],
    attention_mask: Tensor | None = None,
    token_type_ids: Int[Tensor, "batch length"] | None = None,
) -> Float[Tensor, "batch length hidden"]:
    """The hidden states at every kept place, zero elsewhere; differentiable.

    attention_mask: (batch, length), bool, integer or float; what is not 0 is kept, holes and empty rows included.
    """
    if input_ids.ndim != 2:
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}; give one of (batch, length)")
    check_ids(input_ids, model.spec.vocab_size, name="input_ids")
    if token_type_ids is not None:
        _check_shape(token_type_ids, input_ids, "token_type_ids")
        check_ids(token_type_ids, max(model.spec.num_token_types, 1), name="token_type_ids")
    if attention_mask is None:
        mask = torch.ones_like(input_ids, dtype=torch.bool)
    else:
        if attention_mask.ndim == 4:
            raise ValueError(
                f"attention_mask of shape {tuple(attention_mask.shape)}: masks per pair of tokens are not supported; "
                "give one of shape (batch, length)"
            )
        _check_shape(attention_mask, input_ids, "attention_mask")
        mask = attention_mask.to(input_ids.device) != 0
    added = model.spec.added
    padding_id = added.padding_id if isinstance(added, LearnedPositions) else None
    packing, kept = Packing.of_mask(mask, None if padding_id is None else input_ids == padding_id)
    types = None if token_type_ids is None else token_type_ids.flatten()[kept]
    hidden = model(input_ids.flatten()[kept], packing, types)
    rectangle = hidden.new_zeros(input_ids.numel(), hidden.shape[-1]).index_copy(0, kept, hidden)
    return rectangle.unflatten(0, tuple(input_ids.shape))


def check_ids(ids: Tensor, limit: int, *, name: str) -> None:
    """Refuse ids outside 0 … limit − 1 before the device sees them: on a GPU they would bring the process down."""
    if ids.numel() == 0:
        return
    lowest, highest = (int(bound) for bound in ids.aminmax())
    if lowest < 0 or highest >= limit:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"{name} holds {wrong}, outside 0 … {limit - 1}. Were they made by this model's tokenizer?")


def _check_shape(given: Tensor, wanted: Tensor, name: str) -> None:
    if given.shape != wanted.shape:
        raise ValueError(f"{name} has shape {tuple(given.shape)}, input_ids {tuple(wanted.shape)}; they must be equal")
