"""The GPU's attention against the reference in float64: on a GPU where there is one, else in Triton's interpreter."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from strategies import numbers
from vitrail.layers.attention import SelfAttention
from vitrail.layers.kernels import ContentBias, fused, on_gpu, reference, triton
from vitrail.layers.kernels.on_gpu import takes
from vitrail.layers.kernels.triton.attention import Added, Asked, Places, tiled_attention
from vitrail.layers.packing import Packing
from vitrail.layers.positions.alibi import Alibi
from vitrail.layers.positions.disentangled import DisentangledRelation
from vitrail.layers.positions.relation import Relation
from vitrail.layers.positions.relative_bias import RelativeBias

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Tiles have 32 rows in float32: sequences within a tile, as long as one, over several; an empty one; one token.
LENGTHS = (3, 32, 0, 1, 40, 7)
pytestmark = pytest.mark.usefixtures("poisoned")
NEAR = {torch.float32: 3e-6, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def projections(packing: Packing, heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> list[Tensor]:
    """Query, key, value: views of one tensor, as of one product."""
    counts = [heads * head_dim, kv_heads * head_dim, kv_heads * head_dim]
    together = numbers(packing.num_tokens, sum(counts), seed=4).to(DEVICE, dtype).requires_grad_()
    return [each.unflatten(-1, (-1, head_dim)) for each in together.split(counts, dim=-1)]


def with_gradients(attend: Any, inputs: list[Tensor], weights: Tensor) -> list[Tensor]:
    """The context and the gradients of query, key and value, in float64."""
    inputs = [each.detach().requires_grad_() for each in inputs]
    context = attend(*inputs)
    return [each.detach().double() for each in (context, *torch.autograd.grad((context * weights).sum(), inputs))]


def assert_equal_to_the_reference(packing: Packing, inputs: list[Tensor], attend: Any = on_gpu, **asked: Any) -> None:
    weights = numbers(packing.num_tokens, inputs[0].shape[1], inputs[0].shape[2], seed=9).to(DEVICE)
    found = with_gradients(
        lambda *each: attend(*each, packing, scale=0.3, **asked), inputs, weights.to(inputs[0].dtype)
    )
    wanted = with_gradients(
        lambda *each: reference(*each, packing, scale=0.3, **asked), [each.double() for each in inputs], weights
    )
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= NEAR[inputs[0].dtype] * other.abs().max().clamp(min=1)


def packing_of(lengths: tuple[int, ...] = LENGTHS) -> Packing:
    return Packing.of(lengths, device=DEVICE)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 4])
def test_context_and_gradients_are_those_of_the_reference(causal: bool, window: int | None):
    packing = packing_of()
    inputs = projections(packing, 2, 2, 16, torch.float32)

    assert_equal_to_the_reference(packing, inputs, causal=causal, window=window)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 2, 16), (1, 1, 20), (2, 1, 8), (1, 1, 128)])
def test_groups_of_heads_and_head_sizes_that_are_no_power_of_two(heads: int, kv_heads: int, head_dim: int):
    packing = packing_of((33, 5))

    assert_equal_to_the_reference(packing, projections(packing, heads, kv_heads, head_dim, torch.float32))


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        pytest.param(
            torch.bfloat16,
            marks=pytest.mark.skipif(DEVICE == "cpu", reason="Triton's interpreter has no products in bfloat16"),
        ),
    ],
)
def test_half_precision_sums_in_float32(dtype: torch.dtype):
    packing = packing_of((3, 70, 9))

    assert_equal_to_the_reference(packing, projections(packing, 2, 2, 16, dtype))


def test_columns_with_holes_keep_their_distances():
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool, device=DEVICE)
    packing, _ = Packing.of_mask(mask)
    inputs = projections(packing, 2, 2, 16, torch.float32)

    assert_equal_to_the_reference(packing, inputs, causal=True, window=2)
    assert_equal_to_the_reference(packing, inputs, bias=Alibi(2).of_layer(None))


def test_a_bias_by_distance():
    packing = packing_of()

    assert_equal_to_the_reference(packing, projections(packing, 3, 3, 16, torch.float32), bias=Alibi(3).of_layer(None))


@pytest.mark.parametrize("terms", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("asked", [{}, {"causal": True, "window": 4}])
def test_distances_with_vectors_meet_queries_and_keys(terms: tuple[bool, bool], asked: dict[str, Any]):
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool, device=DEVICE)
    # fewer buckets than distances
    keys, queries = (numbers(2, 16, 8, seed=seed).to(DEVICE) if one else None for seed, one in enumerate(terms))
    bias = ContentBias(keys=keys, queries=queries, bucket=lambda distance: (distance + 4).clamp(0, 7))

    for packing in (packing_of(), Packing.of_mask(mask)[0]):
        inputs = projections(packing, 2, 2, 16, torch.float32)
        assert_equal_to_the_reference(packing, inputs, bias=bias, **asked)


def test_rows_for_every_token_are_made_up_to_a_distance_of_512(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triton, "runs", lambda tensor: True)
    query = torch.zeros(1, 2, 16, device=DEVICE)
    content = ContentBias(keys=torch.zeros(2, 16, 1), queries=None, bucket=torch.zeros_like)
    learned = RelativeBias(8, 2).of_layer(None)

    for bias, long_too in ((content, False), (learned, False), (Alibi(2).of_layer(None), True), (None, True)):
        assert takes(query, packing_of((513,)), bias)
        assert takes(query, packing_of((514,)), bias) == long_too


@pytest.mark.parametrize("relation", ["table", "vectors"])
def test_what_is_learned_of_distances_gets_its_gradient(relation: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triton, "runs", lambda tensor: tensor.dtype in triton.TYPES)
    learned: Relation
    torch.manual_seed(1)
    if relation == "table":
        learned = RelativeBias(8, 2, max_distance=20)
    else:
        learned = DisentangledRelation(
            32, num_buckets=4, max_distance=20, content_to_position=True, position_to_content=True
        )
    learned.to(DEVICE)
    attention = SelfAttention(32, 2, scale=0.2).to(DEVICE)
    packing, hidden = packing_of(), numbers(sum(LENGTHS), 32, seed=3).to(DEVICE)

    assert takes(hidden.float(), packing, learned.of_layer(attention))

    def gradients(kernel: Any, dtype: torch.dtype) -> list[Tensor]:
        attention.kernel = kernel
        parts = torch.nn.ModuleList([learned, attention]).to(dtype)
        loss = (attention(hidden.to(dtype), packing, learned) * numbers(len(hidden), 32, seed=5).to(hidden)).sum()
        return [each.double() for each in torch.autograd.grad(loss, list(parts.parameters()))]

    for one, other in zip(gradients(fused, torch.float32), gradients(reference, torch.float64), strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max().clamp(min=1)


def test_tokens_of_other_sequences_change_no_bit():
    together, alone = packing_of((5, 40, 9)), packing_of((40,))
    inputs = [each.detach() for each in projections(together, 2, 2, 16, torch.float32)]
    some = slice(5, 45)

    for number, length in enumerate((5, 40, 9)):
        assert together.lengths[number] == length
    beside = on_gpu(*inputs, together, scale=0.3)[some]
    others = [each.clone() for each in inputs]
    for each in others:
        each[:5], each[45:] = 1e4, float("nan")
    among_bad = on_gpu(*others, together, scale=0.3)[some]

    assert torch.equal(beside, among_bad)
    torch.testing.assert_close(beside, on_gpu(*(each[some] for each in inputs), alone, scale=0.3))
    inputs[2][7] = float("inf")
    spoiled = on_gpu(*inputs, together, scale=0.3).isnan()
    assert spoiled[5:45].all()
    assert not spoiled[:5].any()
    assert not spoiled[45:].any()


def test_dropout_drops_as_often_as_asked_and_the_gradient_meets_the_same_weights():
    packing = packing_of((64, 30))
    places = Places(
        first=torch.tensor([0] * 64 + [64] * 30, dtype=torch.int32, device=DEVICE),
        end=torch.tensor([64] * 64 + [94] * 30, dtype=torch.int32, device=DEVICE),
        columns=None,
    )
    asked = Asked(scale=0.3, dropout=0.25, seed=5)
    query, key, _ = (each.detach() for each in projections(packing, 1, 1, 64, torch.float32))
    # with the identity as values, the context of the first sequence is its weights
    value = torch.cat([torch.eye(64), torch.zeros(30, 64)]).unsqueeze(1).to(DEVICE)
    dropped = tiled_attention(query, key, value, places, asked)[:64, 0]
    whole = tiled_attention(query, key, value, places, Asked(scale=0.3))[:64, 0]
    factors = (dropped / whole).detach()
    kept = factors > 0

    torch.testing.assert_close(factors[kept], torch.full_like(factors[kept], 1 / 0.75))
    assert (1 - kept.float().mean()).item() == pytest.approx(0.25, abs=0.03)
    other = tiled_attention(query, key, value, places, Asked(scale=0.3, dropout=0.25, seed=6))[:64, 0]
    assert not torch.equal(kept, other > 0)

    def with_these_factors(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (0.3 * q[:64, 0] @ k[:64, 0].T).softmax(-1) * factors.double()
        return torch.cat([weights @ v[:64, 0], 0 * v[64:, 0]]).unsqueeze(1)

    # the second sequence takes no part
    weights = torch.cat([numbers(64, 1, 64, seed=9), torch.zeros(30, 1, 64)]).to(DEVICE)
    inputs = [query, key, numbers(94, 1, 64, seed=2).float().to(DEVICE)]
    found = with_gradients(lambda *each: tiled_attention(*each, places, asked), inputs, weights.float())
    wanted = with_gradients(with_these_factors, [each.double() for each in inputs], weights)
    for one, two in zip(found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)

    # what is added to a score, by the query's row and by the key's, gets the gradient of that score
    tables = [torch.zeros(94, 1, 127, device=DEVICE, requires_grad=True) for _ in range(2)]
    added = Added(by_query=tables[0], by_key=tables[1], farthest=63)
    context = tiled_attention(*inputs, places, asked, added)
    by_query, by_key = (each[:64, 0] for each in torch.autograd.grad((context * weights.float()).sum(), tables))
    of_scores = torch.zeros(64, 64, dtype=torch.float64, device=DEVICE, requires_grad=True)
    q, k, v = (each[:64, 0].double() for each in inputs)
    kept = (0.3 * q @ k.T + of_scores).softmax(-1) * factors.double()
    (wanted_scores,) = torch.autograd.grad((kept @ v * weights[:64, 0]).sum(), of_scores)
    place = torch.arange(64, device=DEVICE)
    distance = 63 + place[None, :] - place[:, None]
    for one in (by_query[place[:, None], distance], by_key[place[None, :], distance]):
        torch.testing.assert_close(one.double(), wanted_scores, atol=1e-5, rtol=1e-5)


def test_an_empty_batch_and_empty_sequences_give_no_rows():
    for lengths in ((), (0, 0)):
        packing = packing_of(lengths)
        inputs = [each.detach() for each in projections(packing, 2, 2, 16, torch.float32)]

        assert on_gpu(*inputs, packing, scale=0.3).shape == (0, 2, 16)


def test_a_sorted_stream_is_cut_where_its_sequences_become_short(monkeypatch: pytest.MonkeyPatch):
    """Torch's kernel does not run on a CPU, so the reference stands for it, under its contract."""
    calls = []

    def varlen(query: Tensor, key: Tensor, value: Tensor, cut: Tensor, _: Any, longest: int, __: int) -> Tensor:
        calls.append((cut.tolist(), longest))
        lengths = cut.diff().tolist()
        return reference(query, key, value, Packing.of(lengths), scale=query.shape[2] ** -0.5)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen)
    packing = Packing.of((140, 130, 20, 3))
    inputs = [each.to("cpu") for each in projections(packing, 2, 1, 16, torch.float16)]
    weights = numbers(packing.num_tokens, 2, 16, seed=9).to(torch.float16)

    found = with_gradients(lambda *each: on_gpu(*each, packing, scale=0.3), inputs, weights)
    wanted = with_gradients(
        lambda *each: reference(*each, packing, scale=0.3), [each.double() for each in inputs], weights.double()
    )

    assert calls == [([0, 140, 270], 140)]
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= NEAR[torch.float16] * other.abs().max().clamp(min=1)


def test_on_a_cpu_the_fused_kernel_never_asks_for_triton(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        sys.modules["vitrail.layers.kernels.fused"], "on_gpu", lambda *_, **__: pytest.fail("it was asked")
    )
    packing = Packing.of((3, 4))
    inputs = [each.detach().cpu() for each in projections(packing_of((3, 4)), 2, 2, 16, torch.float32)]

    assert fused(*inputs, packing, scale=0.3).shape == (7, 2, 16)
