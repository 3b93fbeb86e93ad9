"""A small run as a process of its own, so that tests can kill it: run_toy.py FOLDER RESULT [MOMENT COUNT].

MOMENT is a call before which the process kills itself the COUNT-th time: `step` (of the optimiser) or `fsync` (while a
snapshot is written).
"""

import atexit
import itertools
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.toy import classified, encoder_with, loop_over, paired, weights
from vitrail.training.config import AveragingConfig
from vitrail.training.optimizers import Optimizer
from vitrail.training.processes import Processes
from vitrail.training.sharding import gathered, shard


def killed_before(function, count: int):
    calls = [0]

    def counted(*arguments):
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return counted


def toy_run(
    folder: Path, *, kind: str = "text-classification", dtype: torch.dtype = torch.float32, sharded: bool = False
):
    """A run with all that has a memory: dropout, momentum, averages, evaluations, pieces."""
    torch.set_num_threads(1)
    processes = Processes.join("cpu", shard=sharded)
    make = classified if kind == "text-classification" else paired
    encoder = encoder_with(kind, dropout=0.2, dtype=dtype)
    encoder.idle = torch.nn.Parameter(torch.ones(3, 2, dtype=dtype))  # no output depends on it, so it must stay
    if sharded:
        shard(encoder, processes, "cpu")
    loop = loop_over(
        encoder,
        make(45),
        validation=make(12, seed=1),
        epochs=3,
        batch_tokens=8,
        averaging=AveragingConfig(ema=0.9),
        checkpoint_steps=1,
        snapshots=folder,
        processes=processes,
    )
    loop.resume()
    loop.run()
    return encoder, processes


if __name__ == "__main__":
    place, result, *moment = sys.argv[1:]
    if moment and moment[0] == "step":
        Optimizer.step = killed_before(Optimizer.step, int(moment[1]))
    elif moment:
        os.fsync = killed_before(os.fsync, int(moment[1]))
    if "WORLD_SIZE" not in os.environ:
        toy_run(Path(place))
    else:
        # registered first, so it is asked last: has the group been left when the process ends?
        atexit.register(lambda: os._exit(3) if torch.distributed.is_initialized() else None)
        for kind, sharded in itertools.product(("text-classification", "embedding"), (False, True)):
            name = f"{kind}-sharded" if sharded else kind
            encoder, processes = toy_run(Path(place) / name, kind=kind, dtype=torch.float64, sharded=sharded)
            found = gathered(weights(encoder), processes)
            if processes.writes:
                save_file(found, f"{result}-{name}")
