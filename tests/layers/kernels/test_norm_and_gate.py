"""The GPU's fused steps against torch's own in float64, values and gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from strategies import numbers
from vitrail.layers.kernels.triton.gate import FUNCTIONS, gated
from vitrail.layers.kernels.triton.norm import Norm, add_and_normalize

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZE = 20  # no power of two
PLAIN = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
}
pytestmark = pytest.mark.usefixtures("poisoned")


def drawn(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return numbers(*shape, seed=seed).to(DEVICE, dtype).requires_grad_()


def gradients_of(loss: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return [each.double() for each in torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("kind", ["layer_norm", "layer_norm without a shift", "rms_norm"])
def test_the_sum_and_its_normalisation_and_all_gradients(kind: str):
    hidden, found, gain = drawn(7, SIZE, seed=1), drawn(7, SIZE, seed=2), drawn(SIZE, seed=3)
    shift = drawn(SIZE, seed=4) if kind == "layer_norm" else None
    rms = kind == "rms_norm"
    weights = numbers(2, 7, SIZE, seed=5).to(DEVICE)
    inputs = [each for each in (hidden, found, gain, shift) if each is not None]

    total, normed = add_and_normalize(hidden, found, gain, shift, Norm(rms=rms, epsilon=1e-3))
    gradients = gradients_of((weights[0] * total + weights[1] * normed).sum(), inputs)

    exact = [each.detach().double().requires_grad_() for each in inputs]
    summed = exact[0] + exact[1]
    even = (
        functional.rms_norm(summed, (SIZE,), exact[2], 1e-3)
        if rms
        else functional.layer_norm(summed, (SIZE,), exact[2], exact[3] if shift is not None else None, 1e-3)
    )
    wanted = gradients_of((weights[0] * summed + weights[1] * even).sum(), exact)
    for one, other in zip([total, normed, *gradients], [summed, even, *wanted], strict=True):
        torch.testing.assert_close(one.double(), other, atol=3e-6, rtol=3e-6)


def test_what_the_dropout_of_the_sum_drops_gets_no_gradient():
    norm = Norm(rms=False, epsilon=1e-5, dropout=0.3, seed=7)
    hidden, found = torch.zeros(40, SIZE, device=DEVICE), torch.ones(40, SIZE, device=DEVICE).requires_grad_()
    gain = torch.ones(SIZE, device=DEVICE)

    total, _ = add_and_normalize(hidden, found, gain, None, norm)
    (gradient,) = torch.autograd.grad(total.sum(), found)

    assert total.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (total == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(gradient, total)
    other, _ = add_and_normalize(hidden, found, gain, None, Norm(rms=False, epsilon=1e-5, dropout=0.3, seed=8))
    assert not torch.equal(total, other)


def test_under_autocast_the_stream_stays_in_float32_and_the_branch_gets_its_own_type():
    hidden, found = drawn(5, SIZE, seed=1), drawn(5, SIZE, seed=2, dtype=torch.float16)
    gain, shift = drawn(SIZE, seed=3), drawn(SIZE, seed=4)

    total, normed = add_and_normalize(hidden, found, gain, shift, Norm(rms=False, epsilon=1e-5))
    of_hidden, of_found = torch.autograd.grad(normed.sum() + total.sum(), [hidden, found])

    assert total.dtype == normed.dtype == of_hidden.dtype == torch.float32
    assert of_found.dtype == torch.float16
    torch.testing.assert_close(total, hidden + found.float())


def test_a_sum_that_nobody_reads_is_not_written():
    hidden, found, gain = (
        each.detach() for each in (drawn(5, SIZE, seed=1), drawn(5, SIZE, seed=2), drawn(SIZE, seed=3))
    )

    unread, normed = add_and_normalize(hidden, found, gain, None, Norm(rms=False, epsilon=1e-5), keep=False)

    assert unread.isnan().all()
    torch.testing.assert_close(normed, functional.layer_norm(hidden + found, (SIZE,), gain, None, 1e-5))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gates_and_their_gradients(name: str):
    together = drawn(3, 2 * 35, seed=6)
    weights = numbers(3, 35, seed=7).to(DEVICE)

    out = gated(*together.split(35, dim=-1), name)
    (gradient,) = gradients_of((out * weights).sum(), [together])

    exact = together.detach().double().requires_grad_()
    up, gate = exact.split(35, dim=-1)
    wanted = PLAIN[name](gate) * up
    torch.testing.assert_close(out.double(), wanted, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(gradient, gradients_of((wanted * weights).sum(), [exact])[0], atol=1e-6, rtol=1e-6)


def test_no_rows_are_no_work():
    nothing = torch.empty(0, SIZE, device=DEVICE)
    norm = Norm(rms=True, epsilon=0.1)
    total, normed = add_and_normalize(nothing, nothing, torch.ones(SIZE, device=DEVICE), None, norm)

    assert total.shape == normed.shape == gated(nothing, nothing, "gelu").shape == (0, SIZE)
