"""The sum of token, type and position, written out."""

import pytest
import torch

from vitrail.layers.embeddings import Embeddings
from vitrail.layers.packing import Packing
from vitrail.layers.positions.learned import LearnedPositions

IDS, PACKING = torch.tensor([3, 0, 2]), Packing.of([2, 1])


def test_embeddings_are_token_plus_type_plus_position_normalised_then_projected():
    embeddings = Embeddings(
        5,
        4,
        hidden_size=6,
        num_token_types=2,
        positions=LearnedPositions(7, 4),
        normalization=torch.nn.LayerNorm(4),
        scale=3.0,
    )
    assert embeddings.token_types is not None
    assert embeddings.projection is not None
    assert embeddings.positions is not None

    hidden = embeddings(IDS, PACKING, torch.tensor([0, 1, 1]))

    summed = 3.0 * embeddings.tokens.weight[[3, 0, 2]] + embeddings.token_types.weight[[0, 1, 1]]
    summed = summed + embeddings.positions.table.weight[[0, 1, 0]]
    normal = (summed - summed.mean(-1, keepdim=True)) / (summed.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    wanted = normal @ embeddings.projection.weight.T + embeddings.projection.bias
    torch.testing.assert_close(hidden, wanted)


def test_types_that_are_not_given_are_type_0():
    embeddings = Embeddings(5, 4, num_token_types=2)

    assert torch.equal(embeddings(IDS, PACKING), embeddings(IDS, PACKING, torch.zeros(3, dtype=torch.long)))


def test_every_part_but_the_token_may_be_absent():
    embeddings = Embeddings(5, 4)

    assert torch.equal(embeddings(IDS, PACKING), embeddings.tokens.weight[IDS])
    assert [name for name, _ in embeddings.named_parameters()] == ["tokens.weight"]


def test_types_given_to_a_model_without_them_must_be_0():
    embeddings = Embeddings(5, 4)

    assert torch.equal(embeddings(IDS, PACKING, torch.zeros_like(IDS)), embeddings(IDS, PACKING))
    with pytest.raises(ValueError, match="no token types; leave them out"):
        embeddings(IDS, PACKING, torch.tensor([0, 1, 0]))


def test_the_row_of_the_padding_token_is_never_trained():
    embeddings = Embeddings(5, 4, padding_id=0)

    embeddings(IDS, PACKING).sum().backward()

    assert embeddings.tokens.weight.grad is not None
    assert embeddings.tokens.weight.grad.any(dim=1).tolist() == [False, False, True, True, False]
