"""The door for rectangles: what is kept is what the packed model gives, and zero stands elsewhere."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from torch import Tensor

from strategies import LONGEST, encoder_specs, masks, some
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec, LearnedPositions
from vitrail.models.padded import run_padded

SPEC = replace(
    EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=5, padding_id=0),
    num_token_types=2,
    positions=(LearnedPositions(max_positions=LONGEST, padding_id=None),),
    initializer_range=0.3,
)
IDS = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8]])
MASK = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]])  # a hole, padding on the left, an empty row


def built(spec: EncoderSpec = SPEC) -> EncoderModel:
    model = EncoderModel(spec).double().eval()
    model.initialize(seed=0)
    return model


def row_by_row(model: EncoderModel, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
    """The kept tokens of each row through the packed model on their own, put back where they stood."""
    spec, hidden = model.spec, torch.zeros(*ids.shape, model.spec.hidden_size, dtype=torch.float64)
    learned = spec.added if isinstance(spec.added, LearnedPositions) else None
    for row in range(ids.shape[0]):
        columns = mask[row].nonzero().flatten()
        ordinals = None
        if learned is not None and learned.padding_id is not None:
            ordinals = (ids[row] != learned.padding_id).long().cumsum(0)[columns]
        packing = Packing((len(columns),), columns, ordinals, plain=False)
        hidden[row, columns] = model(ids[row, columns], packing, None if types is None else types[row, columns])
    return hidden


@some(40)
@given(encoder_specs(), masks())
@torch.no_grad()
def test_every_kept_place_is_what_its_row_alone_gives_and_the_others_are_zero(spec: EncoderSpec, mask: Tensor):
    model = built(spec)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, spec.vocab_size, mask.shape, generator=generator)
    types = torch.randint(0, spec.num_token_types, mask.shape, generator=generator) if spec.num_token_types else None

    hidden = run_padded(model, ids, mask, types)

    assert hidden.shape == (*ids.shape, spec.hidden_size)
    assert not hidden[~mask].any()
    torch.testing.assert_close(hidden, row_by_row(model, ids, mask, types), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32])
def test_a_mask_of_any_type_keeps_what_is_not_zero(dtype: torch.dtype):
    model = built()

    torch.testing.assert_close(run_padded(model, IDS, (3 * MASK).to(dtype)), row_by_row(model, IDS, MASK))


def test_without_a_mask_every_place_is_kept():
    model = built()

    assert torch.equal(run_padded(model, IDS), run_padded(model, IDS, torch.ones_like(IDS)))


def test_what_is_masked_does_not_matter():
    model, changed = built(), IDS.clone()
    changed[MASK == 0] = 7

    assert torch.equal(run_padded(model, changed, MASK), run_padded(model, IDS, MASK))


def test_positions_by_ids_count_masked_ids_too_unless_they_are_padding():
    """As RoBERTa does: a masked token that is no padding still takes a position, a padding id never does."""
    model = built(replace(SPEC, positions=(LearnedPositions(max_positions=LONGEST, padding_id=0),)))
    padded_left = run_padded(model, torch.tensor([[0, 0, 3, 4]]), torch.tensor([[0, 0, 1, 1]]))
    masked_left = run_padded(model, torch.tensor([[7, 7, 3, 4]]), torch.tensor([[0, 0, 1, 1]]))
    alone = run_padded(model, torch.tensor([[3, 4]]))

    torch.testing.assert_close(padded_left[:, 2:], alone)
    assert not torch.allclose(masked_left[:, 2:], alone)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_ids_may_be_of_either_width(dtype: torch.dtype):
    model = built()

    assert torch.equal(
        run_padded(model, IDS.to(dtype), MASK, (IDS % 2).to(dtype)), run_padded(model, IDS, MASK, IDS % 2)
    )


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_an_empty_batch_gives_an_empty_result(shape: tuple[int, int]):
    ids = torch.zeros(shape, dtype=torch.long)

    assert run_padded(built(), ids, torch.ones_like(ids), ids).shape == (*shape, 8)


def test_a_batch_of_empty_rows_gives_zeros_that_can_be_trained_through():
    hidden = run_padded(built(), IDS, torch.zeros_like(IDS))

    assert torch.equal(hidden, torch.zeros(3, 4, 8, dtype=torch.float64))
    hidden.sum().backward()


def test_it_is_differentiable_and_only_kept_tokens_are_trained():
    model = built()

    run_padded(model, IDS, MASK).square().sum().backward()

    gradient = model.embeddings.tokens.weight.grad
    assert gradient is not None
    assert gradient.any(dim=1).nonzero().flatten().tolist() == sorted(set(IDS[MASK == 1].tolist()))


@pytest.mark.parametrize("wrong", [-1, 11, 2**62])
def test_ids_outside_the_vocabulary_are_refused_with_the_id_and_the_bounds(wrong: int):
    ids = IDS.clone()
    ids[1, 2] = wrong

    with pytest.raises(ValueError, match=rf"input_ids holds {wrong}, outside 0 … 10. Were they made by this model"):
        run_padded(built(), ids)


@pytest.mark.parametrize(("spec", "limit"), [(SPEC, 1), (replace(SPEC, num_token_types=0), 0)])
def test_token_types_outside_the_table_are_refused(spec: EncoderSpec, limit: int):
    with pytest.raises(ValueError, match=f"token_type_ids holds 2, outside 0 … {limit}"):
        run_padded(built(spec), IDS, None, torch.full_like(IDS, 2))


@pytest.mark.usefixtures("without_shape_checks")
def test_wrong_shapes_are_refused_by_name():
    model = built()

    with pytest.raises(ValueError, match=r"shape \(3, 1, 4, 4\): masks per pair of tokens are not supported"):
        run_padded(model, IDS, torch.ones(3, 1, 4, 4))
    with pytest.raises(ValueError, match=r"attention_mask has shape \(3, 3\), input_ids \(3, 4\)"):
        run_padded(model, IDS, torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"token_type_ids has shape \(4, 3\), input_ids \(3, 4\)"):
        run_padded(model, IDS, None, torch.zeros(4, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"input_ids has shape \(4,\); give one of \(batch, length\)"):
        run_padded(model, IDS[0])
