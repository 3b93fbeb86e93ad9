"""Running an encoder without gradients, by the fastest path that gives its results.

The path is chosen anew for every batch, so it can be neither stale nor wrong: a listener on a point (a forward hook),
half precision or another device means the model itself runs; changed weights mean they are laid out again first.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.backends.prepacked import can_prepack, prepack
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel

TORCH = "torch"
PREPACKED = "oneDNN, weights prepacked"


class Inference:
    """Embeds batches for one model. May be called from several threads at once."""

    def __init__(self, model: EncoderModel):
        self.model = model
        self._packed: EncoderModel | None = None
        self._state: Any = None
        self._lock = threading.Lock()

    @property
    def path(self) -> str:
        """What the next batch runs on: TORCH or PREPACKED."""
        return PREPACKED if not _is_watched(self.model) and can_prepack(self.model) else TORCH

    def run(self, input_ids: Int[Tensor, " tokens"], packing: Packing) -> Float[Tensor, "tokens hidden"]:
        """The hidden states, as the model in eval mode gives them."""
        return self._fastest()(input_ids, packing)

    def _fastest(self) -> EncoderModel:
        if self.path == TORCH:
            return self.model
        state = weights_state(self.model)
        with self._lock:
            if self._packed is None or self._state != state:
                self._packed, self._state = prepack(self.model), state
            return self._packed

    def forget(self) -> None:
        """Drop the laid-out weights; the next batch makes them again."""
        with self._lock:
            self._packed = self._state = None

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"])  # type: ignore[misc]


def weights_state(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter is replaced or changed in place."""
    return tuple((parameter.data_ptr(), parameter._version) for parameter in module.parameters())


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; modules that were training are put back."""
    training = [module for module in modules if module.training]
    for module in training:
        module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.train()


def _is_watched(model: nn.Module) -> bool:
    """Whether anybody listens at a point of the model."""
    return any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks for module in model.modules()
    )
