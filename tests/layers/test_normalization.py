"""Normalisations against their equations, vector by vector."""

import math

import pytest
import torch

from strategies import numbers
from vitrail.layers.normalization import build_normalization


def filled(kind: str, size: int, *, bias: bool) -> torch.nn.Module:
    norm = build_normalization(kind, size, epsilon=1e-2, bias=bias).double()
    for seed, parameter in enumerate(norm.parameters()):
        parameter.data = numbers(size, seed=seed + 7)
    return norm


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_is_its_equation(bias: bool):
    norm, hidden = filled("layer_norm", 5, bias=bias), numbers(3, 5)

    normalised = norm(hidden)

    for given, got in zip(hidden.tolist(), normalised.tolist(), strict=True):
        mean = sum(given) / 5
        variance = sum((x - mean) ** 2 for x in given) / 5
        beta = norm.bias.tolist() if bias else [0.0] * 5
        wanted = [
            g * (x - mean) / math.sqrt(variance + 1e-2) + b
            for x, g, b in zip(given, norm.weight.tolist(), beta, strict=True)
        ]
        assert got == pytest.approx(wanted, rel=1e-9)
    assert (norm.bias is not None) == bias


def test_rms_norm_is_its_equation():
    norm, hidden = filled("rms_norm", 5, bias=False), numbers(3, 5)

    normalised = norm(hidden)

    for given, got in zip(hidden.tolist(), normalised.tolist(), strict=True):
        size = math.sqrt(sum(x * x for x in given) / 5 + 1e-2)
        assert got == pytest.approx([g * x / size for x, g in zip(given, norm.weight.tolist(), strict=True)], rel=1e-9)


def test_an_unknown_normalisation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'batch_norm': choose among layer_norm, rms_norm"):
        build_normalization("batch_norm", 4, epsilon=1e-5, bias=False)


def test_rms_norm_with_a_bias_is_refused():
    with pytest.raises(ValueError, match="norm_bias=False"):
        build_normalization("rms_norm", 4, epsilon=1e-5, bias=True)
