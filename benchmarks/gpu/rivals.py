"""transformers and sentence-transformers, as their users run them: padded batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

Call = Callable[[], object]


def forward(folder: Path, device: torch.device, ids: np.ndarray, lengths: np.ndarray, *, batch_size: int) -> Call:
    """transformers' model in bfloat16 with SDPA; batches sorted by length, on the device already."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa").to(device).eval()
    batches = padded_batches(ids, lengths, device, batch_size=batch_size, order=np.argsort(-lengths, kind="stable"))

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(**batch)

    return run


def embed(
    folder: Path, device: torch.device, texts: list[str], *, precision: str, batch_size: int
) -> Callable[[], np.ndarray]:
    """SentenceTransformer.encode, which sorts by length and batches by itself."""
    from sentence_transformers import SentenceTransformer

    options = {"dtype": getattr(torch, precision)}
    model = SentenceTransformer(str(folder), device=str(device), model_kwargs=options, local_files_only=True)
    return lambda: model.encode(texts, batch_size=batch_size, show_progress_bar=False)


def training_step(folder: Path, device: torch.device, ids: np.ndarray, lengths: np.ndarray, *, batch_size: int) -> Call:
    """transformers' model with SDPA: all sequences in batches in the order they came, a step each."""
    from transformers import AutoModel

    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model = AutoModel.from_pretrained(folder, **options).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    batches = padded_batches(ids, lengths, device, batch_size=batch_size, order=np.arange(len(lengths)))

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16):
                hidden = model(**batch).last_hidden_state
            hidden.float().pow(2).mean().backward()
            optimizer.step()

    return run


def padded_batches(
    ids: np.ndarray, lengths: np.ndarray, device: torch.device, *, batch_size: int, order: np.ndarray
) -> list[dict[str, torch.Tensor]]:
    sequences = np.split(ids, np.cumsum(lengths)[:-1])
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        mask = np.arange(lengths[chosen].max()) < lengths[chosen][:, None]
        padded = np.zeros(mask.shape, dtype=np.int64)
        padded[mask] = np.concatenate([sequences[place] for place in chosen])
        batches.append(
            {
                "input_ids": torch.from_numpy(padded).to(device),
                "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
            }
        )
    return batches
