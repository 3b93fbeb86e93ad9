"""AutoModel with SDPA in the sorted loop, in a chosen precision, as it is or compiled for any shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants.sorted_batches import sorted_batches
from benchmarks.machine import cores


def load(model: Path, prepared: Path, settings: dict[str, Any], max_length: int) -> Callable[[list[str]], np.ndarray]:
    import torch
    from transformers import AutoModel

    torch.set_num_threads(cores())
    encoder = AutoModel.from_pretrained(model, attn_implementation="sdpa", dtype=getattr(torch, settings["dtype"]))
    forward = torch.compile(encoder.eval(), dynamic=True) if settings["compiled"] else encoder.eval()

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        hidden = forward(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
        return hidden.float().numpy()

    return sorted_batches(model, run, batch_size=settings.get("batch_size", 32), max_length=max_length)
