"""The programs that are compared. Each turns a list of texts into vectors, in a process that holds nothing but it.

Run as `python -m benchmarks.contestants NAME MODEL TEXTS.json OUT.npy`: it loads, embeds a few texts to warm up, embeds
all of them once with a clock running, writes the vectors and prints one line of JSON. With `first` for OUT.npy it
prints a line as soon as it has the vector of the first text, cold.
"""

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

Embed = Callable[[list[str]], np.ndarray]
WARM_UP_TEXTS = 64


def vitrail_default(model: str) -> Embed:
    """`vitrail.load(model).embed(texts)`"""
    import vitrail

    encoder = vitrail.load(model, device="cpu")
    return lambda texts: encoder.embed(texts, show_progress=False)


def sentence_transformers_default(model: str) -> Embed:
    """`SentenceTransformer(model).encode(texts)`: batches of 32 sorted by length, float32."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    return lambda texts: encoder.encode(texts, show_progress_bar=False)


def transformers_sorted(model: str) -> Embed:
    """AutoModel with SDPA in float32, texts sorted by their tokens, batches of 32, mean pooling: a careful loop by
    hand.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model, attn_implementation="sdpa").eval()

    @torch.inference_mode()
    def embed(texts: list[str]) -> np.ndarray:
        ids = tokenizer(
            texts, truncation=True, max_length=256, return_attention_mask=False, return_token_type_ids=False
        )
        rows = ids["input_ids"]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        vectors = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            batch = tokenizer.pad({"input_ids": [rows[row] for row in chosen]}, return_tensors="pt")
            hidden = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[chosen] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return vectors

    return embed


CONTESTANTS: dict[str, Callable[[str], Embed]] = {
    "vitrail": vitrail_default,
    "transformers": transformers_sorted,
    "sentence-transformers": sentence_transformers_default,
}


def main(name: str, model: str, texts_file: str, out: str) -> None:
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with open(texts_file, encoding="utf-8") as stream:
        texts = json.load(stream)
    embed = CONTESTANTS[name](model)
    if out == "first":
        embed(texts[:1])
        print(json.dumps({"first": True}), flush=True)
        return
    embed(texts[:WARM_UP_TEXTS])
    start = time.perf_counter()
    vectors = embed(texts)
    seconds = time.perf_counter() - start
    np.save(out, vectors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "version": version(name)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
