"""Muon: momentum made orthogonal, for the matrices inside layers ([Jordan 2024]).

    M ← β M + (1 − β) G                   G is a matrix's gradient
    X = (1 − β) G + β M, over its norm
    X ← a X + (b A + c A²) X, A = X Xᵀ    five times: each singular value s becomes a s + b s³ + c s⁵, which is near 1
    W ← (1 − η λ) W − 0.2 η √max(rows, columns) X    ([Liu 2025]: as large as a step of AdamW)

Matrices of one shape go through the products together, in bfloat16 on a GPU and as they are on a CPU. torch has this
optimiser too, in bfloat16 on every device and one matrix after the other: on a CPU that does not multiply bfloat16 that
takes longer than all the rest of a small encoder's step.

[Jordan 2024]: https://kellerjordan.github.io/posts/muon/
[Liu 2025]: https://arxiv.org/abs/2502.16982
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_LEAST_NORM = 1e-7
_ADAMW_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """groups: torch's, of matrices only, each with `lr` (η) and `weight_decay` (λ). momentum: β."""

    def __init__(self, groups: Sequence[dict[str, object]], *, momentum: float):
        super().__init__(groups, {"momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameters in _of_one_shape(group["params"]):
                directions = torch.stack([_wide(self._direction(each, group["momentum"])) for each in parameters])
                for parameter, update in zip(parameters, orthogonalised(directions), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    size = _ADAMW_SIZE * group["lr"] * math.sqrt(max(parameter.shape))
                    _wide(parameter).add_(update, alpha=-size)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - momentum), momentum)


def orthogonalised(matrices: Float[Tensor, "matrices rows columns"]) -> Float[Tensor, "matrices rows columns"]:
    """U f(S) Vᵀ of each U S Vᵀ, f as above; for rows ≤ columns (the other way is the same, and more work)."""
    found = matrices.to(torch.bfloat16) if matrices.device.type == "cuda" else matrices
    found = found / torch.linalg.matrix_norm(found, keepdim=True).clamp(min=_LEAST_NORM)
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), found, beta=_A)
    return found.to(matrices.dtype)


def _of_one_shape(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Those with a gradient, by shape; a matrix and one turned on its side are together."""
    found: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
    for each in parameters:
        if each.grad is not None:
            found[tuple(sorted(each.shape))].append(each)
    return list(found.values())


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, or its transpose where that has fewer rows."""
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
