"""Muon's update: its equation by singular values, torch's optimiser beside it, and stacks that change nothing."""

import statistics
import time

import pytest
import torch
from torch import nn

from vitrail.training.muon import Muon, orthogonalised

SHAPES = ((7, 12), (12, 7), (7, 12), (9, 9), (1, 5), (5, 1))


def matrices(seed: int = 0, *, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def give_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    for parameter, gradient in zip(parameters, matrices(seed, dtype=parameters[0].dtype), strict=True):
        parameter.grad = gradient.detach()


def test_each_singular_value_goes_through_the_polynomial_five_times():
    stack = torch.randn(3, 6, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    found = orthogonalised(stack)

    left, values, right = torch.linalg.svd(stack, full_matrices=False)
    values = values / values.norm(dim=-1, keepdim=True)
    for _ in range(5):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    torch.testing.assert_close(found, left @ torch.diag_embed(values) @ right)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_it_moves_matrices_as_torchs_own_does_but_for_the_rounding_of_bfloat16(weight_decay: float):
    ours, theirs, start = (matrices(dtype=torch.float32) for _ in range(3))
    optimizers = (
        Muon([{"params": ours, "lr": 0.01, "weight_decay": weight_decay}], momentum=0.9),
        torch.optim.Muon(
            [{"params": theirs, "lr": 0.01, "weight_decay": weight_decay}], momentum=0.9, adjust_lr_fn="match_rms_adamw"
        ),
    )
    for step in range(1, 5):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            give_gradients(parameters, seed=step)
            optimizer.step()

    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        assert (mine - other).norm() < 0.03 * moved
        assert moved > 0.001


@pytest.mark.slow
def test_it_takes_less_time_than_torchs_own():
    """The matrices of two layers of width 128, on a CPU; the ratio in pairs."""
    shapes = [(128, 128)] * 8 + [(512, 128)] * 2 + [(128, 512)] * 2
    groups = [
        [{"params": [nn.Parameter(torch.randn(s)) for s in shapes], "lr": 0.01, "weight_decay": 0.0}] for _ in "ab"
    ]
    ours, theirs = Muon(groups[0], momentum=0.95), torch.optim.Muon(groups[1], momentum=0.95)

    def seconds(optimizer: torch.optim.Optimizer) -> float:
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.randn_like(parameter)
        start = time.perf_counter()
        optimizer.step()
        return time.perf_counter() - start

    assert statistics.median(seconds(ours) / seconds(theirs) for _ in range(9)) < 1


def test_matrices_that_share_a_shape_are_moved_as_each_would_be_alone():
    together, alone = matrices(), matrices()
    stacked = Muon([{"params": together, "lr": 0.1, "weight_decay": 0.01}], momentum=0.95)
    single = [Muon([{"params": [each], "lr": 0.1, "weight_decay": 0.01}], momentum=0.95) for each in alone]
    for step in (1, 2):
        give_gradients(together, seed=step)
        give_gradients(alone, seed=step)
        for optimizer in (stacked, *single):
            optimizer.step()

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_matrix_without_a_gradient_stays_and_a_gradient_of_zeros_moves_nothing():
    parameters, before = matrices(), matrices()
    give_gradients(parameters, seed=1)
    parameters[0].grad = None
    parameters[3].grad = torch.zeros_like(parameters[3])
    Muon([{"params": parameters, "lr": 0.1, "weight_decay": 0.0}], momentum=0.95).step()

    moved = [not torch.equal(after, each) for after, each in zip(parameters, before, strict=True)]
    assert moved == [False, True, True, False, True, True]
