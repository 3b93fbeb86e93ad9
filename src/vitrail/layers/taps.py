"""Named points inside a running model, where a value can be read or changed.

Every point is a module: its name is its module path (`layers.3.attention.query`), its value is what the module returns,
and reading or changing it is torch's own forward hook. So a point costs nothing but a call when nobody listens, and
needs no second version of the model. Where a value is not the output of a module anyway, a `Tap` stands in its way.
"""

from torch import Tensor, nn

# The points of one layer, relative to `layers.N`; beside them stand `embeddings`, `pooling` and a task's `logits`.
LAYER_POINTS = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.context",
    "attention.output",
    "feed_forward.up",
    "feed_forward.activation",
    "feed_forward.down",
    "output",
)


class Tap(nn.Module):
    """Return the value unchanged."""

    def forward(self, value: Tensor) -> Tensor:
        return value


def listened(module: nn.Module) -> bool:
    """Whether a hook sees what passes through the module: a fused step must then leave the module to run itself."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
