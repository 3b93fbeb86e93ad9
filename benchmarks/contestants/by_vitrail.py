"""`vitrail.load(model, precision=…).embed(texts)`"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    import vitrail

    encoder = vitrail.load(model, device="cpu", max_length=max_length, precision=settings["precision"])
    return lambda texts: encoder.embed(texts, show_progress=False)
