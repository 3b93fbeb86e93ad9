"""float32 on the CPU with weights laid out for oneDNN once, and GELU fused into the product before it.

The copy shares every parameter with the model it was made from and runs the same modules; only its linear modules hold,
beside the weight, that weight in the blocked layout the matrix product wants, which otherwise is made again in every
call. The model
itself is untouched: its points (layers/taps.py) and gradients are there as ever, so what needs them runs the model.
"""

import copy
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.feed_forward import FeedForward
from vitrail.models import EncoderModel

# Rows for which oneDNN chooses the layout; products of other heights use it too.
_TYPICAL_ROWS = 1024


class PrepackedLinear(nn.Module):
    """y = W x + b, then `activation` ("none" or "gelu"), through oneDNN. Inference only."""

    def __init__(self, linear: nn.Linear, *, activation: str = "none"):
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _TYPICAL_ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.activation = activation
        self.form = "none" if activation == "gelu" else ""  # GELU without tanh's approximation

    def forward(self, hidden: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows height"]:
        if hidden.shape[0] == 0:
            return hidden.new_zeros(*hidden.shape[:-1], self.weight.shape[0])
        return torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, self.activation, [], self.form)


def can_prepack(model: EncoderModel) -> bool:
    """Whether this machine and model allow it: a CPU on which oneDNN gives the right numbers, float32 throughout."""
    return works_here() and all(
        parameter.device.type == "cpu" and parameter.dtype == torch.float32 for parameter in model.parameters()
    )


@cache
def works_here() -> bool:
    """Whether a small prepacked product equals torch's own on this machine; asked once a process."""
    if not torch.backends.mkldnn.is_available():
        return False
    linear = nn.utils.skip_init(nn.Linear, 5, 3)
    rows = torch.linspace(-2, 2, 20).view(4, 5)
    with torch.no_grad():
        linear.weight.copy_(torch.linspace(-1, 1, 15).view(3, 5))
        linear.bias.copy_(torch.tensor([0.5, -0.5, 0.0]))
        wanted = nn.functional.gelu(linear(rows))
        try:
            return torch.allclose(PrepackedLinear(linear, activation="gelu")(rows), wanted, atol=1e-6)
        except (RuntimeError, AttributeError):  # a processor or a torch without these products
            return False


def prepack(model: EncoderModel) -> EncoderModel:
    """A copy of the model for inference whose linear modules are prepacked. Changes of the weights do not reach it."""
    shared = {id(parameter): parameter for parameter in model.parameters()}
    packed = copy.deepcopy(model, shared)
    done: dict[int, nn.Module] = {}
    for module in list(packed.modules()):
        fused = isinstance(module, FeedForward) and module.gate is None and _is_exact_gelu(module.activation)
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                activation = "gelu" if fused and name == "up" else "none"
                done.setdefault(id(child), PrepackedLinear(child, activation=activation))
                setattr(module, name, done[id(child)])
        if fused:
            module.activation = nn.Identity()
    return packed.eval()


def _is_exact_gelu(module: nn.Module) -> bool:
    return isinstance(module, nn.GELU) and module.approximate == "none"
