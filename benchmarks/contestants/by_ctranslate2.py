"""CTranslate2's encoder, converted from the same folder; it takes its own padding-free batches of ids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants.sorted_batches import sorted_batches
from benchmarks.machine import cores


def prepare(model: Path, prepared: Path, settings: dict[str, Any], calibration: list[str]) -> None:
    from ctranslate2.converters import TransformersConverter

    # int8 weights are made here, so that the file that is loaded is as small as it can be
    quantization = "int8" if settings["compute_type"].startswith("int8") else None
    TransformersConverter(str(model)).convert(str(prepared / "model"), quantization=quantization, force=True)


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    import ctranslate2

    streams = settings.get("streams", 1) or cores()
    encoder = ctranslate2.Encoder(
        str(prepared / "model"),
        device="cpu",
        compute_type=settings["compute_type"],
        inter_threads=streams,
        intra_threads=cores() // streams,
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        lengths = mask.sum(1).astype(np.int32)
        output = encoder.forward_batch(
            ctranslate2.StorageView.from_array(ids.astype(np.int32)), ctranslate2.StorageView.from_array(lengths)
        )
        return np.array(output.last_hidden_state)

    return sorted_batches(
        model, run, batch_size=settings.get("batch_size", 32), streams=settings.get("streams", 1), max_length=max_length
    )
