"""Attention in pairs of bfloat16, or in float16, is attention in float32 but for its roundings."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from backends.native.conftest import available
from backends.native.small_models import bert_spec, random_ids, random_model
from vitrail.backends.native import NativeEngine
from vitrail.layers.kernels import AttentionKernel, reference
from vitrail.layers.packing import Packing
from vitrail.models import AlibiPositions, EncoderModel

# By instruction set: the most that one rounding moves a number, over the number, and how many products are added up
# before their sum is a float32. bfloat16 has 8 binary digits, float16 has 11.
SHORT = {"avx512bf16": (2.0**-8, 0), "avx512fp16": (2.0**-11, 64)}
HERE = [isa for isa in SHORT if isa in available()]
LENGTHS = (1, 2, 3, 31, 32, 33, 511, 512, 513)

pytestmark = pytest.mark.skipif(not HERE, reason="needs a processor with AVX512_BF16 or AVX512_FP16")


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


def farthest(isa: str) -> AttentionKernel:
    """How far roundings can move the context.

    Both factors are rounded, and each addition to a short sum of n terms, so a score moves by at most
    d = ((1 + u)² (1 + n u) - 1) scale Σ |q k|, and a weight, an exponential over the sum of all, by a factor from
    e^(-2 d) to e^(2 d). Weights and values are rounded once more, and their sums: Σ w v moves by at most
    (e^(2 d) (1 + u)² (1 + n u) - 1) Σ w |v|. Below 2⁻¹⁴ float16 has steps of 2⁻²⁴.
    """
    rounding, terms = SHORT[isa]
    of_sum = 1 + terms * rounding

    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, **rest: Any
    ) -> torch.Tensor:
        group = query.shape[1] // key.shape[1]
        reach = [
            torch.einsum("qhd,khd->qhk", q.abs(), k.abs().repeat_interleave(group, 1)).amax(dim=-1, keepdim=True)
            for q, k in zip(packing.split(query), packing.split(key), strict=True)
        ]
        moved = ((1 + rounding) ** 2 * of_sum - 1) * rest["scale"] * torch.cat(reach)
        most = (2 * moved).exp() * (1 + rounding) ** 2 * of_sum - 1
        return most * reference(query, key, value.abs(), packing, **rest) + 1e-5

    return kernel


def context(
    monkeypatch: pytest.MonkeyPatch, isa: str, model: EncoderModel, ids: torch.Tensor, packing: Packing
) -> torch.Tensor:
    monkeypatch.setenv("VITRAIL_ISA", isa)
    return NativeEngine(model, "int8", 1).run(ids, packing) - model.embeddings(ids, packing)


@torch.inference_mode()
@pytest.mark.parametrize("name", HERE)
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
    monkeypatch: pytest.MonkeyPatch, name: str, head_dim: int, change: dict[str, Any]
):
    model, packing = model_of_attention_alone(head_dim, change), Packing.of(LENGTHS)
    ids = random_ids(model.spec, packing)

    short, in_floats = (context(monkeypatch, each, model, ids, packing) for each in (name, "avx512vnni"))

    # Both were then quantised, in steps of a 255th of their range: each moved by half a step.
    step = 2 * in_floats.abs().amax(dim=-1, keepdim=True) / 255
    model.use_kernel(farthest(name))
    bound = model(ids, packing) - model.embeddings(ids, packing) + step
    assert ((short - in_floats).abs() <= bound).all()
    assert not torch.equal(short, in_floats)  # or they would be the same kernel


@torch.inference_mode()
@pytest.mark.skipif("avx512fp16" not in available(), reason="needs a processor with AVX512_FP16")
@pytest.mark.parametrize(("name", "factor"), [("query", 1e4), ("key", 1e5), ("value", 1e4), ("value", 1e-4)])
def test_what_float16_has_no_room_for_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch, name: str, factor: float):
    model, packing = model_of_attention_alone(32, {}), Packing.of(LENGTHS)
    for part in ("weight", "bias"):
        model.get_parameter(f"layers.0.attention.{name}.{part}").mul_(factor)
    ids = random_ids(model.spec, packing)

    in_floats = context(monkeypatch, "avx512vnni", model, ids, packing)

    assert torch.equal(context(monkeypatch, "avx512fp16", model, ids, packing), in_floats)
