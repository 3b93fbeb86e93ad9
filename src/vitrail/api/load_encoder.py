"""`vitrail.load`: a name in, an Encoder out."""

import os
import warnings

import torch

from vitrail.api.encoder import Encoder
from vitrail.api.task_of_encoder import found_task, known, saved_task
from vitrail.errors import FallbackWarning
from vitrail.loading import load_model

AUTO = "auto"
PRECISIONS = {
    "auto": torch.float32,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.float32,  # of the weights that the engine quantises
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
    task: what the folder's head is for: "text-classification", "token-classification", "question-answering",
        "reranking", "fill-mask", "embedding" (which has none), or "auto" for the one there is; `predict` then does it.
        None: the encoder alone.
    revision: branch, tag or commit of a hub model.
    device: "auto" takes a CUDA GPU when there is one (and precision is not int8), else the CPU.
    precision: "float32" (without TF32), "float16", "bfloat16", "int8", or "auto", which is float32 everywhere. "int8"
        quantises the products of the native engine (CPU): texts and tokens several times faster, vectors nearly the
        same; `vitrail verify --precision int8` measures how nearly. A model or machine that it cannot run on stays in
        float32, and a FallbackWarning says why. Calling the encoder with ids is float32 in any case. "float16" and
        "bfloat16" are of the weights; on a CPU the engine runs float16 where the processor has AVX512-FP16, torch the
        rest.
    threads: CPU threads of torch, for the whole process; None leaves them as they are.
    max_length: tokens a text is cut to; at most what the model's positions allow. None: what the model says.
    offline: never use the network; it is used for explicit hub names only, and not at all when they are in the cache
        at a pinned revision.

    Raises ModelNotFound, UnsupportedModel, CheckpointError (damaged, unsafe or mismatched files), TokenizerError.
    """
    if task not in (None, AUTO):
        known(task)
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
    quantised = "int8" if precision == "int8" else None
    encoder = Encoder.from_loaded(loaded, max_length=max_length, precision=quantised)
    if task is not None:
        made, used = saved_task(loaded, found_task(loaded) if task == AUTO else task, PRECISIONS[precision])
        encoder.attach(made)
        encoder.unused_tensors = tuple(name for name in encoder.unused_tensors if name not in used)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and quantised is None else "cpu"
    encoder = encoder.to(device)
    if quantised and (refusal := encoder.inference.native_refusal()) is not None:
        warnings.warn(f"{encoder.name} runs in float32, not in int8: {refusal}", FallbackWarning, stacklevel=2)
    return encoder
