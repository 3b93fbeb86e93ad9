"""Ids up, vectors down: what lies between the host and a device, and may happen while the device computes.

On a GPU both ways have a stream of their own and go through pinned memory, so that the ids of the next step arrive and
the vectors of the last one leave while this step computes. The rule that keeps memory safe is one: whoever starts a
step holds what it was given until its vectors have arrived.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vitrail.layers.kernels.triton import bounds_of
from vitrail.layers.packing import Packing


@runtime_checkable
class Transfers(Protocol):
    """ahead: how many steps may be started before the first is waited for."""

    ahead: int

    def upload(self, ids: Int64[np.ndarray, "tokens"], lengths: Sequence[int]) -> tuple[Tensor, Packing]:
        """Ids and packing on the device, for use by what is started next."""
        ...

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        """A function that waits for the values, and gives them on the host."""
        ...

    def let_go(self) -> None:
        """Give back memory that nothing uses, after the device refused some."""
        ...


def transfers_for(device: torch.device) -> Transfers:
    return StreamTransfers(device) if device.type == "cuda" else PlainTransfers(device)


class PlainTransfers:
    """Of a device that is the host itself, or is simply waited for."""

    ahead = 0

    def __init__(self, device: torch.device):
        self.device = device

    def upload(self, ids: Int64[np.ndarray, "tokens"], lengths: Sequence[int]) -> tuple[Tensor, Packing]:
        return torch.from_numpy(ids).to(self.device), Packing.of(lengths, device=self.device)

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        return values.cpu

    def let_go(self) -> None:
        """The host's allocator keeps nothing back."""


class StreamTransfers:
    """Of a CUDA device."""

    ahead = 2  # one computes, one is ready to follow it

    def __init__(self, device: torch.device):
        self.device = device
        self._up, self._down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def upload(self, ids: Int64[np.ndarray, "tokens"], lengths: Sequence[int]) -> tuple[Tensor, Packing]:
        with torch.cuda.stream(self._up):
            found = Packing.of(lengths)
            packing = Packing(found.lengths, self._sent(found.columns))
            # what the packing would otherwise send when it is first asked, and make the device wait for
            vars(packing).update(boundaries=self._sent(found.boundaries), sequence_ids=self._sent(found.sequence_ids))
            bounds_of(packing)
            tokens = self._sent(torch.from_numpy(ids))
        torch.cuda.current_stream(self.device).wait_stream(self._up)
        return tokens, packing

    def download(self, values: Tensor) -> Callable[[], Tensor]:
        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            arrived = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            arrived.copy_(values, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._down)

        def wait() -> Tensor:
            event.synchronize()
            return arrived

        return wait

    def let_go(self) -> None:
        torch.cuda.synchronize(self.device)  # what was started of the refused step still reads its ids
        torch.cuda.empty_cache()

    def _sent(self, values: Tensor) -> Tensor:
        # torch uses a pinned block again only when the copy out of it is done
        return values.pin_memory().to(self.device, non_blocking=True)
