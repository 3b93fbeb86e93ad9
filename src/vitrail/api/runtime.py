"""What an encoder runs on, for people to read."""

from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from vitrail.backends.inference import LAID_OUT, NATIVE
from vitrail.backends.native import instruction_set

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder


def describe_runtime(encoder: "Encoder") -> dict[str, str]:
    return {
        "device": _device_name(encoder.device),
        "precision": encoder.precision,
        "backend": _backend(encoder),
        "kernel": encoder.inference.path.kernel,
        "tokenizer": "none" if encoder.tokenizer is None else encoder.tokenizer.runtime,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "vitrail": version("vitrail"),
    }


def _backend(encoder: "Encoder") -> str:
    """The path of the next batch; where it is not the native engine, why."""
    path = encoder.inference.path
    if path.name == NATIVE:
        return f"{path.name}, {path.precision}, {instruction_set()}"
    if path.name == LAID_OUT:
        tf32 = path.precision == "float32" and torch.backends.cuda.matmul.allow_tf32
        words = ", products in TF32 as this process told torch" if tf32 else ""
        return f"{path.name}, up to {path.batch_tokens:,} tokens a step{words}"
    refusal = encoder.inference.native_refusal()
    return f"{path.name} (no native engine: {refusal})" if refusal else f"{path.name} (somebody listens at a point)"


def _device_name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
