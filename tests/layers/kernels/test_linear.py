"""The product with its activation, against torch's two steps in float64."""

import pytest
import torch
from torch import nn

from strategies import numbers
from vitrail.layers.activations import ACTIVATIONS
from vitrail.layers.kernels.triton.gate import FUNCTIONS
from vitrail.layers.kernels.triton.linear import activated_linear

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.usefixtures("poisoned")


def linear_of(inputs: int, outputs: int, *, bias: bool, seed: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias=bias)
    for number, parameter in enumerate(linear.parameters()):
        parameter.data = numbers(*parameter.shape, seed=seed + number).float() / inputs**0.5
    return linear.to(DEVICE, torch.float16).requires_grad_(False)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_the_activation_of_the_product(function: str, gated: bool):
    # neither rows nor columns nor inputs are whole tiles; several tiles of columns, and of rows once
    tokens, bias = (140 if function == "gelu" else 5), function != "silu"
    values = numbers(tokens, 72, seed=1).to(DEVICE, torch.float16)
    up, gate = linear_of(72, 150, bias=bias, seed=2), linear_of(72, 150, bias=bias, seed=4) if gated else None

    found = activated_linear(values, up, function, gate)

    exact = values.double()
    wide = up.double()(exact)
    wanted = ACTIVATIONS[function]()(wide) if gate is None else ACTIVATIONS[function]()(gate.double()(exact)) * wide
    torch.testing.assert_close(found.double(), wanted, atol=4e-3, rtol=2e-3)


def test_no_tokens_are_no_work():
    empty = torch.zeros(0, 16, device=DEVICE, dtype=torch.float16)

    assert activated_linear(empty, linear_of(16, 20, bias=True, seed=1), "gelu").shape == (0, 20)
