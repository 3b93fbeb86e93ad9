"""Attention in pairs of bfloat16 is attention in float32 but for the rounding of what is multiplied."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from backends.native.conftest import available
from backends.native.small_models import bert_spec, random_ids, random_model
from vitrail.backends.native import NativeEngine
from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import AlibiPositions, EncoderModel

# The most that rounding to bfloat16, of 8 binary digits, moves a number, over the number.
ROUNDING = 2.0**-8
LENGTHS = (1, 2, 3, 31, 32, 33, 511, 512, 513)

pytestmark = pytest.mark.skipif("avx512bf16" not in available(), reason="needs a processor with AVX512_BF16")


def model_of_attention_alone(head_dim: int, change: dict[str, Any]) -> EncoderModel:
    """One layer, which adds the heads' contexts to the embeddings, and nothing else."""
    width = 3 * head_dim
    spec = bert_spec(hidden_size=width, head_dim=head_dim, num_layers=1)
    model = random_model(replace(spec, pre_norm=True, initializer_range=width**-0.5, **change))
    with torch.no_grad():
        model.get_parameter("layers.0.attention.output.weight").copy_(torch.eye(width))
        for name in ("attention.output.bias", "feed_forward.down.weight", "feed_forward.down.bias"):
            model.get_parameter(f"layers.0.{name}").zero_()
    return model


def farthest(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, **rest: Any
) -> torch.Tensor:
    """How far roundings can move the context.

    Both factors are rounded, so a score moves by at most d = (2 u + u²) scale Σ |q k|, and a weight, an exponential
    over the sum of all, by a factor from e^(-2 d) to e^(2 d). Weights and values are rounded once more: Σ w v moves by
    at most (e^(2 d) (1 + u)² - 1) Σ w |v|.
    """
    group = query.shape[1] // key.shape[1]
    reach = [
        torch.einsum("qhd,khd->qhk", q.abs(), k.abs().repeat_interleave(group, 1)).amax(dim=-1, keepdim=True)
        for q, k in zip(packing.split(query), packing.split(key), strict=True)
    ]
    moved = (2 * ROUNDING + ROUNDING**2) * rest["scale"] * torch.cat(reach)
    return ((2 * moved).exp() * (1 + ROUNDING) ** 2 - 1) * reference(query, key, value.abs(), packing, **rest)


@torch.inference_mode()
@pytest.mark.parametrize("head_dim", [8, 32, 64, 128])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"causal": True},
        {"windows": (0,)},
        {"windows": (7,), "causal": True},
        {"windows": (33,), "num_kv_heads": 1},
        {"positions": (*bert_spec().positions, AlibiPositions())},
    ],
    ids=["whole", "causal", "window 0", "window 7, causal", "window 33, shared keys", "bias"],
)
def test_it_is_no_farther_from_float32_than_its_roundings_can_move_it(
    monkeypatch: pytest.MonkeyPatch, head_dim: int, change: dict[str, Any]
):
    model, packing = model_of_attention_alone(head_dim, change), Packing.of(LENGTHS)
    ids = random_ids(model.spec, packing)

    contexts = []
    for name in ("avx512bf16", "avx512vnni"):
        monkeypatch.setenv("VITRAIL_ISA", name)
        contexts.append(NativeEngine(model, "int8", 1).run(ids, packing) - model.embeddings(ids, packing))
    in_pairs, in_floats = contexts

    # Both were then quantised, in steps of a 255th of their range: each moved by half a step.
    step = 2 * in_floats.abs().amax(dim=-1, keepdim=True) / 255
    model.use_kernel(farthest)
    bound = model(ids, packing) - model.embeddings(ids, packing) + step
    assert ((in_pairs - in_floats).abs() <= bound).all()
    assert not torch.equal(in_pairs, in_floats)  # or they would be the same kernel
