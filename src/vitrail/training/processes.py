"""The processes that train one model together, as torchrun starts them; mostly there is just one.

Pieces of a window are dealt out in turn, gradients are summed, and as every loss is already divided by the units of the
whole window, the sum is the gradient one process would have had. Each process holds the whole model (replicated), or a
part of it (sharded, sharding.py).
"""

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Gradients are summed in flat stretches of about this size: few messages, little memory.
_BUCKET_BYTES = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among all. `rank` 0 is the one that writes. sharded: the model is divided among them."""

    rank: int = 0
    count: int = 1
    sharded: bool = False

    @classmethod
    def join(cls, device_type: str, *, shard: bool = False) -> "Processes":
        """All that torchrun started with us; without torchrun, this process alone, which cannot shard."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            if shard:
                raise ValueError(
                    "training.shard divides the model among processes, and this is the only one: start several with "
                    "torchrun --nproc-per-node 2 -m vitrail train …, or leave training.shard out"
                )
            return cls()
        if device_type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
            atexit.register(_leave)
        return cls(rank=dist.get_rank(), count=dist.get_world_size(), sharded=shard)

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def mine(self, count: int) -> list[tuple[int, bool]]:
        """The numbers of the pieces that this process runs, and whether what comes out counts.

        Sharded processes can only run together, so one that has no piece left runs another's and adds nothing.
        """
        own = [(number, True) for number in range(self.rank, count, self.count)]
        spare = self.sharded and self.rank >= count % self.count > 0
        return [*own, (count - 1, False)] if spare else own

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; those of a sharded model were summed on the way back."""
        if self.count == 1 or self.sharded:
            return
        used = torch.tensor([float(each.grad is not None) for each in parameters], device=parameters[0].device)
        bucket: list[Tensor] = []
        filled = 0
        for parameter, is_used in zip(parameters, self.sum(used).tolist(), strict=True):
            if not is_used:  # by any process: with a gradient of zeros it would decay, as it does not in one process
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            filled += parameter.grad.nbytes
            if filled >= _BUCKET_BYTES:
                _sum_flat(bucket)
                bucket, filled = [], 0
        if bucket:
            _sum_flat(bucket)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()


def _leave() -> None:
    """Before the interpreter ends: a thread of the group that still runs then would abort a run that is done."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _sum_flat(gradients: list[Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, summed in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))
