"""Several processes, started as torchrun starts them, train what one would train."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.run_toy import toy_run
from training.toy import weights

SCRIPT = Path(__file__).with_name("run_toy.py")


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory) -> Path:
    """A folder with the weights of runs of each kind, trained by two processes."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder / "runs", folder / "weights"],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return folder


@pytest.mark.parametrize("sharded", ["", "-sharded"])
@pytest.mark.parametrize("kind", ["text-classification", "embedding"])
def test_two_processes_train_the_weights_that_one_trains(
    tmp_path: Path, trained_by_two: Path, kind: str, sharded: str
):
    """Whether each holds the whole model or a part; with dropout on: a piece is drawn the same, whoever runs it.

    In float64: the gradient of a key's bias is 0, and Adam would scale up how it is rounded.
    """
    encoder, _ = toy_run(tmp_path, kind=kind, dtype=torch.float64)

    torch.testing.assert_close(load_file(trained_by_two / f"weights-{kind}{sharded}"), weights(encoder), rtol=1e-6, atol=1e-6)
