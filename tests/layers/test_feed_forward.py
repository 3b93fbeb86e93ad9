"""Activations in closed form, and the feed-forward network, plain and gated, as products of matrices."""

import math
from collections.abc import Callable

import pytest
import torch

from strategies import numbers
from vitrail.layers.activations import ACTIVATIONS
from vitrail.layers.feed_forward import FeedForward

CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(0.0, x),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_closed_form(name: str):
    values = torch.linspace(-6, 6, 49, dtype=torch.float64)

    bent = ACTIVATIONS[name]()(values)

    assert bent.tolist() == pytest.approx([CLOSED_FORMS[name](x) for x in values.tolist()], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_plain_network_widens_bends_and_narrows(name: str, bias: bool):
    network = FeedForward(4, 7, activation=name, up_bias=bias, down_bias=not bias).double()
    hidden = numbers(3, 4)

    wide = hidden @ network.up.weight.T + (network.up.bias if bias else 0)
    bent = wide.detach().clone().apply_(CLOSED_FORMS[name])
    narrow = bent @ network.down.weight.T + (0 if bias else network.down.bias)

    torch.testing.assert_close(network(hidden), narrow)
    assert network.gate is None


@pytest.mark.parametrize("name", ["gelu", "silu"])  # GeGLU, SwiGLU
@pytest.mark.parametrize("bias", [True, False])
def test_a_gated_network_multiplies_what_goes_up_by_a_bent_gate(name: str, bias: bool):
    network = FeedForward(4, 7, activation=name, gated=True, up_bias=bias, down_bias=bias).double()
    hidden = numbers(3, 4)

    def through(linear: torch.nn.Linear, values: torch.Tensor) -> torch.Tensor:
        return values @ linear.weight.T + (linear.bias if bias else 0)

    assert network.gate is not None
    gate = through(network.gate, hidden).detach().apply_(CLOSED_FORMS[name])

    torch.testing.assert_close(network(hidden), through(network.down, gate * through(network.up, hidden)))


def test_an_unknown_activation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'mish': choose among relu, gelu"):
        FeedForward(4, 7, activation="mish")
