"""Seconds on a device, and how fast it multiplies."""

import statistics
import time
from collections.abc import Callable

import torch


def seconds(call: Callable[[], object], device: torch.device, *, rounds: int, warm_up: int = 1) -> list[float]:
    """Of each round, from an idle device to an idle device."""
    for _ in range(warm_up):
        call()
    found = []
    for _ in range(rounds):
        wait_for(device)
        start = time.perf_counter()
        call()
        wait_for(device)
        found.append(time.perf_counter() - start)
    return found


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_peak(device: torch.device, *, size: int, rounds: int) -> float:
    """Operations per second of a product of two square bfloat16 matrices, a multiply-add being two."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, device, rounds=rounds, warm_up=3))


def machine(device: torch.device) -> dict[str, str]:
    import platform

    import transformers

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
