"""`vitrail.load`: a name in, an Encoder out."""

import os

import torch

from vitrail.api.encoder import Encoder
from vitrail.errors import BackendError, UnsupportedModel
from vitrail.loading import load_model

PRECISIONS = {
    "auto": torch.float32,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def load(
    name: str | os.PathLike[str] | None = None,
    *,
    task: str | None = None,
    revision: str | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_length: int | None = None,
    offline: bool = False,
    token: str | None = None,
) -> Encoder:
    """Load an encoder with its tokenizer and pooling, in eval mode.

    name: a folder, a hub name ("bert-base-uncased"), or None for the default model, which is looked for in
        $VITRAIL_MODEL, in an installed package that carries it, and in the hub's cache.
    task: None or "embedding".
    revision: branch, tag or commit of a hub model.
    device: "auto" takes a CUDA GPU when there is one, else the CPU.
    precision: "float32", "float16", "bfloat16", or "auto", which is float32 everywhere.
    threads: CPU threads of torch, for the whole process; None leaves them as they are.
    max_length: tokens a text is cut to; at most what the model's positions allow. None: what the model says.
    offline: never use the network; it is used for explicit hub names only, and not at all when they are in the cache
        at a pinned revision.

    Raises ModelNotFound, UnsupportedModel, CheckpointError (damaged, unsafe or mismatched files), TokenizerError.
    """
    if task not in (None, "embedding"):
        raise UnsupportedModel(
            f'task {task!r}: this version loads encoders without heads; leave it out, or "embedding"'
        )
    if precision == "int8":
        raise BackendError('precision "int8" needs an engine that this version does not have; use "float32"')
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: choose among {', '.join(PRECISIONS)}")
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads must be a whole number of at least 1, got {threads!r}")
        torch.set_num_threads(threads)
    loaded = load_model(
        None if name is None else os.fspath(name),
        revision=revision,
        offline=offline,
        token=token,
        dtype=PRECISIONS[precision],
    )
    encoder = Encoder.from_loaded(loaded, max_length=max_length)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return encoder.to(device)
