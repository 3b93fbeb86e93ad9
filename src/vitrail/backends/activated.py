"""The feed-forward network whose activation happens inside the product that widens (`kernels/triton/linear.py`).

It saves three passes over the wide values, and costs what our product is slower than the vendor's. Which is more
depends on the widths and on the device, so both ways are timed there, once for a model, and the faster is taken.
"""

import statistics
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.feed_forward import FeedForward
from vitrail.layers.kernels import triton

_TRIED_TOKENS, _TRIES = 16384, 7


class ActivatedFeedForward(FeedForward):
    """`feed_forward`, whose modules it holds. function: the activation's name. Inference only."""

    def __init__(self, feed_forward: FeedForward, function: str):
        nn.Module.__init__(self)
        vars(self).update(vars(feed_forward))
        self.function = function

    def forward(self, hidden: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        from vitrail.layers.kernels.triton.linear import activated_linear

        return self.down(activated_linear(hidden, self.up, self.function, self.gate))


def activates_faster(feed_forward: FeedForward, function: str) -> bool:
    """Whether `ActivatedFeedForward` is the faster way here. Never in float32, where our product would round more."""
    weight = feed_forward.up.weight
    plain = all(type(each) is nn.Linear for each in (feed_forward.up, feed_forward.gate) if each is not None)
    if not plain or weight.dtype == torch.float32 or not triton.runs(weight):
        return False
    hidden = torch.randn(_TRIED_TOKENS, feed_forward.up.in_features, device=weight.device).to(weight.dtype)
    with torch.inference_mode():
        return _milliseconds(ActivatedFeedForward(feed_forward, function), hidden) < _milliseconds(feed_forward, hidden)


def _milliseconds(run: Callable[[Tensor], Tensor], hidden: Tensor) -> float:
    """Of the device, the median of some tries; the first, which may compile, does not count."""
    run(hidden)
    times = []
    for _ in range(_TRIES):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run(hidden)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)
