"""The original encoder against torch's, with the weights carried over in both directions."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from oracles.carrying import filled, shapes
from oracles.tiny import randomized
from vitrail.checkpoints.weight_map import plan_loading, publish
from vitrail.families import config_of, own
from vitrail.families.original import TORCH_LAYERS
from vitrail.models import EncoderModel, EncoderSpec
from vitrail.models.padded import run_padded

ORIGINAL = EncoderSpec.original(
    vocab_size=37, hidden_size=24, num_layers=2, num_heads=3, intermediate_size=29, dropout=0.0
)
VARIANTS = {
    "the paper's": ORIGINAL,
    "norm first, GELU and a final norm": replace(ORIGINAL, pre_norm=True, final_norm=True, activation="gelu"),
}


def torch_encoder(spec: EncoderSpec) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        spec.hidden_size,
        spec.num_heads,
        spec.intermediate_size,
        dropout=0.0,
        activation=spec.activation,
        norm_first=spec.pre_norm,
        batch_first=True,
    )
    norm = nn.LayerNorm(spec.hidden_size) if spec.final_norm else None
    return randomized(nn.TransformerEncoder(layer, spec.num_layers, norm, enable_nested_tensor=False))


def embedded(table: Tensor, ids: Tensor) -> Tensor:
    """√hidden · E[id] + p, as sections 3.4 and 3.5 of the paper have it."""
    hidden_size = table.shape[1]
    waves = torch.empty(ids.shape[1], hidden_size)
    for position in range(ids.shape[1]):
        for pair in range(hidden_size // 2):
            angle = position / 10000 ** (2 * pair / hidden_size)
            waves[position, 2 * pair], waves[position, 2 * pair + 1] = math.sin(angle), math.cos(angle)
    return math.sqrt(hidden_size) * table[ids] + waves


def in_layers(model: EncoderModel) -> dict[str, nn.Parameter]:
    return {name: tensor for name, tensor in model.named_parameters() if not name.startswith("embeddings.")}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_it_computes_what_torch_s_encoder_computes_and_the_same_gradients(spec: EncoderSpec, mode: str):
    theirs = torch_encoder(spec).train(mode == "train")
    ours = EncoderModel(spec)
    ours.initialize(seed=1)
    ours.train(mode == "train")
    plan = plan_loading(
        TORCH_LAYERS, wanted=shapes(in_layers(ours)), found=shapes(theirs.state_dict()), layer_numbers=(0, 1)
    )
    with torch.no_grad():
        for name, piece in plan.slices.items():
            ours.get_parameter(name).copy_(theirs.state_dict()[piece.name][piece.start : piece.stop])
    ids = torch.randint(0, 37, (3, 9), generator=torch.Generator().manual_seed(4))
    mask = torch.arange(9) < torch.tensor([[9], [4], [7]])

    found = run_padded(ours, ids, mask)
    wanted = theirs(embedded(ours.embeddings.tokens.weight, ids), src_key_padding_mask=~mask) * mask.unsqueeze(-1)

    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    (found * found.detach().cos()).sum().backward()
    (wanted * wanted.detach().cos()).sum().backward()
    gradients = {name: tensor.grad for name, tensor in in_layers(ours).items() if tensor.grad is not None}
    carried = publish(TORCH_LAYERS, gradients, (0, 1))
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        assert (carried[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), name


def test_carrying_the_weights_there_and_back_changes_none():
    theirs = torch_encoder(ORIGINAL)
    tensors = {"embeddings.tokens.weight": torch.randn(37, 24), **theirs.state_dict()}

    ours, plan = filled(own.FAMILY, ORIGINAL, tensors)
    back = publish(TORCH_LAYERS, {name: tensor.detach() for name, tensor in in_layers(ours).items()}, (0, 1))

    assert plan.unused == ()
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())
    theirs.load_state_dict(back)


def test_it_is_saved_in_vitrail_s_own_format():
    assert config_of(own.FAMILY, ORIGINAL)["model_type"] == "vitrail"
