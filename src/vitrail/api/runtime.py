"""What an encoder runs on, for people to read."""

from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder


def describe_runtime(encoder: "Encoder") -> dict[str, str]:
    return {
        "device": _device_name(encoder.device),
        "precision": encoder.precision,
        "attention": encoder.model.kernel_name,
        "products": encoder.inference.path,
        "tokenizer": "none" if encoder.tokenizer is None else encoder.tokenizer.runtime,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "vitrail": version("vitrail"),
    }


def _device_name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
