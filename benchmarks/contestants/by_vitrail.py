"""`vitrail.load(model, precision=…).embed(texts)`"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np


def _encoder(model: Path, settings: dict[str, Any], max_length: int) -> Any:
    import vitrail

    return vitrail.load(model, device="cpu", max_length=max_length, precision=settings["precision"])


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    encoder = _encoder(model, settings, max_length)
    return lambda texts: encoder.embed(texts, show_progress=False)


def load_stream(model: Path, settings: dict[str, Any], max_length: int) -> Callable[[Iterable[str]], int]:
    """A function that embeds a stream, keeps nothing, and counts the texts."""
    encoder = _encoder(model, settings, max_length)
    return lambda texts: sum(len(some.vectors) for some in encoder.embed_stream(texts))
