"""Where a step's result joins the stream and the sum is normalised: x + dropout(found), norm(x + dropout(found)).

On a GPU both happen in one pass over memory (`kernels/triton/norm.py`). Where somebody listens at the dropout or the
norm, or either is not ours to imitate, the modules run themselves, so that what is heard is what was computed.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.dropout import Dropout
from vitrail.layers.kernels import triton
from vitrail.layers.taps import listened


def add_and_normalize(
    hidden: Float[Tensor, "tokens hidden"],
    found: Float[Tensor, "tokens hidden"],
    dropout: nn.Module,
    norm: nn.Module,
    *,
    keep: bool = True,
) -> tuple[Float[Tensor, "tokens hidden"], Float[Tensor, "tokens hidden"]]:
    """(hidden + dropout(found), its normalisation). keep False: the caller does not read the first."""
    if not _imitable(hidden, found, dropout, norm):
        total = hidden + dropout(found)
        return total, norm(total)
    from vitrail.layers.kernels.triton import norm as kernel

    assert isinstance(dropout, Dropout)
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    probability = dropout.p if dropout.training else 0.0
    chosen = kernel.Norm(
        rms=isinstance(norm, nn.RMSNorm),
        epsilon=torch.finfo(hidden.dtype).eps if norm.eps is None else norm.eps,
        dropout=probability,
        seed=int(torch.randint(2**31, ())) if probability else 0,
    )
    shift = norm.bias if isinstance(norm, nn.LayerNorm) else None
    return kernel.add_and_normalize(hidden, found, norm.weight, shift, chosen, keep=keep)


def _imitable(hidden: Tensor, found: Tensor, dropout: nn.Module, norm: nn.Module) -> bool:
    if not triton.runs(hidden) or type(dropout) is not Dropout or type(norm) not in (nn.LayerNorm, nn.RMSNorm):
        return False
    # under autocast the stream and its norms stay in float32, and what a product found is in half precision
    mixed = torch.is_autocast_enabled(hidden.device.type) and hidden.dtype == torch.float32
    if norm.weight.dtype != hidden.dtype or (found.dtype != hidden.dtype and not mixed):
        return False
    return not (listened(dropout) or listened(norm))
