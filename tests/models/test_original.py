"""The original Transformer's encoder against torch's own, with the weights carried over."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vitrail.models import EncoderModel, EncoderSpec
from vitrail.models.padded import run_padded

HIDDEN, HEADS, WIDE, LAYERS = 12, 3, 20, 2
IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def ours_and_torchs(pre_norm: bool, activation: str) -> tuple[EncoderModel, nn.TransformerEncoder]:
    spec = EncoderSpec.original(
        vocab_size=11, hidden_size=HIDDEN, num_layers=LAYERS, num_heads=HEADS, intermediate_size=WIDE, dropout=0.0
    )
    model = EncoderModel(replace(spec, pre_norm=pre_norm, activation=activation)).double()
    model.initialize(seed=0)
    for parameter in model.parameters():  # biases and norms other than their first values
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    layer = nn.TransformerEncoderLayer(
        HIDDEN, HEADS, WIDE, dropout=0.0, activation=activation, batch_first=True, norm_first=pre_norm
    )
    torchs = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).double()
    for mine, theirs in zip(model.layers, torchs.layers, strict=True):
        projections = (mine.attention.query, mine.attention.key, mine.attention.value)
        theirs.self_attn.in_proj_weight.data = torch.cat([each.weight.data for each in projections])
        theirs.self_attn.in_proj_bias.data = torch.cat([each.bias.data for each in projections])
        theirs.self_attn.out_proj.load_state_dict(mine.attention.output.state_dict())
        theirs.linear1.load_state_dict(mine.feed_forward.up.state_dict())
        theirs.linear2.load_state_dict(mine.feed_forward.down.state_dict())
        theirs.norm1.load_state_dict(mine.attention_norm.state_dict())
        theirs.norm2.load_state_dict(mine.feed_forward_norm.state_dict())
    return model, torchs


def waves(length: int) -> torch.Tensor:
    """Section 3.5 of the paper."""
    table = torch.zeros(length, HIDDEN, dtype=torch.float64)
    for position in range(length):
        for i in range(0, HIDDEN, 2):
            angle = torch.tensor(position / 10000 ** (i / HIDDEN), dtype=torch.float64)
            table[position, i], table[position, i + 1] = angle.sin(), angle.cos()
    return table


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_hidden_states_and_gradients_equal_those_of_torchs_encoder(training: bool, pre_norm: bool, activation: str):
    model, torchs = ours_and_torchs(pre_norm, activation)
    model.train(training)
    torchs.train(training)
    outgoing = torch.randn(2, 5, HIDDEN, dtype=torch.float64) * MASK.unsqueeze(-1)

    ours = run_padded(model, IDS, MASK)
    embedded = HIDDEN**0.5 * model.embeddings.tokens.weight[IDS] + waves(5)
    theirs = torchs(embedded, src_key_padding_mask=MASK == 0) * MASK.unsqueeze(-1)

    # our waves are float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    names = ["attention.output", "feed_forward.up", "feed_forward.down", "attention_norm", "feed_forward_norm"]
    theirs_names = ["self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"]
    for mine, other in zip(model.layers, torchs.layers, strict=True):
        wanted = [p for name in theirs_names for p in other.get_submodule(name).parameters()]
        found = [p for name in names for p in mine.get_submodule(name).parameters()]
        for p, q in zip(found, wanted, strict=True):
            (ours_gradient,) = torch.autograd.grad(ours, p, outgoing, retain_graph=True)
            (theirs_gradient,) = torch.autograd.grad(theirs, q, outgoing, retain_graph=True)
            torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-5, atol=1e-6)
