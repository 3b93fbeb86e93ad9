"""vitrail: forward over packed steps, texts to vectors, a step of training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

Call = Callable[[], object]


def load(folder: Path, device: torch.device, precision: str):
    import vitrail

    return vitrail.load(folder, device=device, precision=precision)


def describe(encoder) -> dict[str, object]:
    path = encoder.inference.path
    return {
        "backend": path.name,
        "kernel": path.kernel,
        "precision": path.precision,
        "batch_tokens": path.batch_tokens,
        "tokenizer": encoder.need_tokenizer().runtime,
    }


def forward(encoder, ids: np.ndarray, lengths: np.ndarray) -> Call:
    """All sequences once, from ids that are on the device. What the layers of a step share is computed every time."""
    from vitrail.api.batches import places_of, token_batches
    from vitrail.backends.inference import evaluating
    from vitrail.layers.packing import Packing

    boundaries = np.concatenate([[0], np.cumsum(lengths)])
    steps = []
    for chosen in token_batches(lengths, encoder.inference.usual_batch_tokens):
        tokens = torch.from_numpy(ids[places_of(boundaries, chosen)]).to(encoder.device)
        steps.append((tokens, Packing.of(lengths[chosen].tolist(), device=encoder.device)))

    def run() -> None:
        with evaluating(encoder):
            for tokens, packing in steps:
                packing.memo.clear()
                encoder.inference.run(tokens, packing)

    return run


def embed(encoder, texts: list[str]) -> Callable[[], np.ndarray]:
    return lambda: encoder.embed(texts, show_progress=False)


def training_step(encoder, ids: np.ndarray, lengths: np.ndarray) -> Call:
    """All sequences in one step: forward, backward, AdamW; bfloat16 autocast over float32 weights."""
    from vitrail.layers.packing import Packing

    model, device = encoder.train().model, encoder.device
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    tokens = torch.from_numpy(ids).to(device)
    packing = Packing.of(lengths.tolist(), device=device)

    def run() -> None:
        packing.memo.clear()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            hidden = model(tokens, packing)
        hidden.float().pow(2).mean().backward()
        optimizer.step()

    return run
