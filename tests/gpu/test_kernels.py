"""The kernels on a real GPU, over the lengths, head sizes and types that Triton's interpreter is too slow for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from strategies import numbers
from vitrail.layers.kernels import ContentBias, fused, reference
from vitrail.layers.packing import Packing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the kernels run in the interpreter only"),
]
# Sorted, as inference has them: the long ones go to torch's kernel; and as training has them.
STREAMS = {
    "sorted": (8192, 1025, 513, 512, 300, 129, 128, 127, 65, 64, 63, 33, 16, 3, 1, 1, 0),
    "mixed": (1, 64, 500, 3, 128, 0, 257, 17, 129, 65),
    "short": tuple(1 + (7 * number) % 60 for number in range(3000)),
    "one": (1,),
}
NEAR = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 5e-3}


def context_and_gradients(attend: object, inputs: list[Tensor], packing: Packing, **asked: object) -> list[Tensor]:
    inputs = [each.detach().requires_grad_() for each in inputs]
    context = attend(*inputs, packing, scale=inputs[0].shape[2] ** -0.5, **asked)  # type: ignore[operator]
    weights = numbers(*context.shape, seed=9).to(context)
    return [each.detach().double() for each in (context, *torch.autograd.grad((context * weights).sum(), inputs))]


@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("head_dim", [16, 32, 64, 80, 128])
@pytest.mark.parametrize("dtype", NEAR, ids=str)
@pytest.mark.parametrize("stream", STREAMS)
def test_attention_is_that_of_the_reference(stream: str, dtype: torch.dtype, head_dim: int, window: int | None):
    packing = Packing.of(STREAMS[stream], device="cuda")
    together = numbers(packing.num_tokens, 4 * head_dim, seed=1).to("cuda", dtype)
    inputs = [each.unflatten(-1, (-1, head_dim)) for each in together.split([2 * head_dim, head_dim, head_dim], -1)]

    found = context_and_gradients(fused, inputs, packing, window=window)
    wanted = context_and_gradients(reference, [each.double() for each in inputs], packing, window=window)

    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= NEAR[dtype] * other.abs().max().clamp(min=1)


def test_dropout_keeps_the_mean_and_the_same_seed_drops_the_same():
    packing = Packing.of([128] * 50, device="cuda")
    inputs = [numbers(6400, 4, 64, seed=seed).to("cuda", torch.bfloat16) for seed in range(3)]
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(fused(*inputs, packing, scale=0.1, dropout=0.2).float())

    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    whole = fused(*inputs, packing, scale=0.1).float()
    assert (runs[0] - whole).mean().abs() < 1e-3


@pytest.mark.parametrize("head_dim", [32, 64, 128])
@pytest.mark.parametrize("dtype", NEAR, ids=str)
@pytest.mark.parametrize("stream", ["mixed", "short"])
def test_distances_with_vectors_are_those_of_the_reference(stream: str, dtype: torch.dtype, head_dim: int):
    packing = Packing.of(STREAMS[stream], device="cuda")
    inputs = [0.3 * numbers(packing.num_tokens, 2, head_dim, seed=seed).to("cuda", dtype) for seed in range(3)]
    vectors = [0.1 * numbers(2, head_dim, 64, seed=seed).to("cuda", dtype) for seed in (4, 5)]

    def with_bias(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def attend(query: Tensor, *others: Any, **asked: Any) -> Tensor:
            keys, queries = (each.to(query.dtype) for each in vectors)
            bias = ContentBias(keys=keys, queries=queries, bucket=lambda distance: (distance + 32).clamp(0, 63))
            return kernel(query, *others, bias=bias, **asked)

        return attend

    found = context_and_gradients(with_bias(fused), inputs, packing)
    wanted = context_and_gradients(with_bias(reference), [each.double() for each in inputs], packing)

    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= NEAR[dtype] * other.abs().max().clamp(min=1)
