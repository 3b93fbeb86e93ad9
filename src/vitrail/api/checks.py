"""Does a model, on this machine, do what it should? Each check gives the largest difference it measured.

The idea: one number for every comparison, max |a − b| / max |b|, so a tolerance means the same for every model: how far
rounding may carry a value, as a share of the largest one. It must hold for numbers that are not finite, too: they fail.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from vitrail.api.batches import Source, computed_batches
from vitrail.api.encoder import Encoder
from vitrail.api.load_encoder import load
from vitrail.backends.inference import evaluating
from vitrail.backends.transfers import transfers_for
from vitrail.errors import TruncationWarning, VitrailError
from vitrail.layers.kernels import KERNELS
from vitrail.layers.packing import Packing

TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
# By precision: how far the cosine to the float32 vector may fall short of 1, for the worst text.
WORST_COSINE_LOSS = {"int8": 0.007, "float16": 1e-4}
# Of the ids that stand in for texts where there is no tokenizer.
_DRAWN_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 64)

# Underscored axes differ from one array to the next.
Ids = Int64[np.ndarray, "_tokens"]
Rows = Float32[np.ndarray, "_rows _width"]
Run = Callable[[Tensor, Packing], Tensor]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one check found. difference, tolerance: None where nothing could be compared."""

    name: str
    outcome: Literal["ok", "failed", "unchecked"]
    difference: float | None
    tolerance: float | None
    note: str


def compared(name: str, ours: Rows, wanted: Rows, *, tolerance: float, note: str) -> Check:
    """The check that `ours` are `wanted`, within max |ours − wanted| ≤ tolerance · max |wanted|."""
    if ours.shape != wanted.shape:
        why = f"{note}; the shape is {ours.shape}, it should be {wanted.shape}"
        return Check(name=name, outcome="failed", difference=None, tolerance=tolerance, note=why)
    largest = float(np.abs(wanted).max(initial=0.0))
    apart = float(np.abs(ours - wanted).max(initial=0.0))
    difference = apart / largest if largest else apart
    words = (
        f"{note}; at most {apart:.2g} apart in values up to {largest:.3g}, lowest cosine {_cosine(ours, wanted):.8f}"
    )
    outcome: Literal["ok", "failed"] = "ok" if difference <= tolerance else "failed"  # NaN is not ≤
    return Check(name=name, outcome=outcome, difference=difference, tolerance=tolerance, note=words)


def sequences_of(encoder: Encoder, texts: Sequence[str]) -> list[Ids]:
    """The ids of the texts, cut to what the model takes; drawn at random (the same each time) without a tokenizer."""
    if encoder.tokenizer is None:
        generator = np.random.default_rng(0)
        most = encoder.max_length or max(_DRAWN_LENGTHS)
        ids = np.delete(np.arange(encoder.spec.vocab_size), [] if (pad := encoder.spec.padding_id) is None else [pad])
        return [generator.choice(ids, min(length, most)).astype(np.int64) for length in _DRAWN_LENGTHS]
    batch = encoder.tokenizer.encode(texts, max_length=encoder.max_length)
    return np.split(batch.ids, batch.boundaries[1:-1])


def hidden_states(encoder: Encoder, sequences: Sequence[Ids], *, run: Run | None = None, alone: bool = False) -> Rows:
    """Of all tokens, in their order; by the fastest path or by `run`, in batches or each sequence alone."""
    run = encoder.inference.run if run is None else run
    boundaries = np.concatenate([[0], np.cumsum([len(ids) for ids in sequences], dtype=np.int64)])
    found = np.zeros((boundaries[-1], encoder.hidden_size), dtype=np.float32)
    budget = 1 if alone else encoder.inference.usual_batch_tokens
    source = Source(ids=np.concatenate(sequences), boundaries=boundaries)
    with evaluating(encoder):
        for done in computed_batches(run, [source], budget=budget, transfers=transfers_for(encoder.device)):
            found[done.rows] = done.values
    return found


def check_neighbours(encoder: Encoder, texts: Sequence[str]) -> Check:
    """The same text alone and among longer ones: as vectors, or, without a tokenizer, as hidden states."""
    name, tolerance = "alone or together", TOLERANCES.get(encoder.precision, TOLERANCES["float32"])
    if encoder.tokenizer is None:
        sequences = sequences_of(encoder, texts)
        together, alone = hidden_states(encoder, sequences), hidden_states(encoder, sequences, alone=True)
        return compared(name, together, alone, tolerance=tolerance, note="hidden states of random ids")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # long neighbours are part of the check
        together = encoder.embed(texts, show_progress=False)
        alone = np.stack([encoder.embed(text, show_progress=False) for text in texts])
    return compared(name, together, alone, tolerance=tolerance, note="vectors of the texts")


def check_reference_kernel(encoder: Encoder, sequences: Sequence[Ids]) -> Check:
    """What runs for embedding, against the model's own modules with attention as the equation says it."""
    shared = {id(parameter): parameter for parameter in encoder.model.parameters()}
    plain = copy.deepcopy(encoder.model, shared)
    plain.use_kernel(KERNELS["reference"])
    note = f"hidden states: {encoder.inference.path.name}, against torch with reference attention"
    fast, slow = hidden_states(encoder, sequences), hidden_states(encoder, sequences, run=plain.eval())
    return compared("fast path or reference", fast, slow, tolerance=TOLERANCES[encoder.precision], note=note)


def check_cost(encoder: Encoder, exact: Encoder, texts: Sequence[str]) -> Check:
    """What int8 or float16 costs on these texts: the cosine to the float32 vectors, and the change in who is nearest to
    whom.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        ours, wanted = encoder.embed(texts, show_progress=False), exact.embed(texts, show_progress=False)
    cosines = _cosines(ours, wanted)
    loss, tolerance = float(1 - cosines.min(initial=1.0)), WORST_COSINE_LOSS[encoder.precision]
    note = f"vectors against float32: cosine mean {cosines.mean():.5f}, worst {cosines.min(initial=1.0):.5f}"
    if len(texts) > 10:
        near, nearest = (_neighbours(vectors) for vectors in (ours, wanted))
        same = (near[:, 0] == nearest[:, 0]).mean()
        kept = np.mean([len(set(a) & set(b)) for a, b in zip(near.tolist(), nearest.tolist(), strict=True)])
        note += f"; of {len(texts)} texts {same:.1%} keep their nearest, and {kept:.1f} of the 10 nearest stay"
    return Check(
        name=f"cost of {encoder.precision}",
        outcome="ok" if loss <= tolerance else "failed",
        difference=loss,
        tolerance=tolerance,
        note=note,
    )


def check_saved(encoder: Encoder, texts: Sequence[str]) -> Check:
    """Saved to a folder and loaded from it in the same precision: everything equal, bit for bit."""
    with TemporaryDirectory(prefix="vitrail-verify-") as folder:
        encoder.save(folder)
        again = load(folder, device=encoder.device, precision=encoder.precision)
        changed = _changed(encoder, again, texts)
        before, after = (hidden_states(each, sequences_of(encoder, texts)) for each in (encoder, again))
    check = compared("saved and loaded", after, before, tolerance=0.0, note="weights, options, ids and hidden states")
    if not changed:
        return check
    return Check(
        name=check.name,
        outcome="failed",
        difference=check.difference,
        tolerance=check.tolerance,
        note=f"not the same afterwards: {', '.join(changed)}",
    )


def attempted(name: str, check: Callable[[], Check]) -> Check:
    """The check. An error of the model on the way is a check that failed; an error of the disk, one not done."""
    try:
        return check()
    except (VitrailError, RuntimeError, OSError) as error:
        outcome: Literal["failed", "unchecked"] = "unchecked" if isinstance(error, OSError) else "failed"
        note = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Check(name=name, outcome=outcome, difference=None, tolerance=None, note=note)


def _changed(before: Encoder, after: Encoder, texts: Sequence[str]) -> list[str]:
    """What differs between an encoder and the one loaded from where it was saved."""
    options = ("spec", "pooling_spec", "max_length", "prompts", "default_prompt", "similarity_name", "precision")
    changed = [name for name in options if getattr(before, name) != getattr(after, name)]
    tensors = after.state_dict()
    changed += [
        name
        for name, tensor in before.state_dict().items()
        if name not in tensors or tensor.dtype != tensors[name].dtype or not torch.equal(tensor, tensors[name])
    ]
    ids, ids_again = (np.concatenate(sequences_of(encoder, texts)) for encoder in (before, after))
    return changed if np.array_equal(ids, ids_again) else [*changed, "token ids"]


def _neighbours(vectors: Rows) -> Int64[np.ndarray, "_rows 10"]:
    """The ten nearest other rows of each row, the nearest first."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :10]


def _cosine(a: Rows, b: Rows) -> float:
    """The lowest of the rows' cosines."""
    return float(_cosines(a, b).min(initial=1.0))


def _cosines(a: Rows, b: Rows) -> Float64[np.ndarray, " _some"]:
    """Row by row; rows of zeros are left out."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    sizes = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return (x * y).sum(1)[sizes != 0] / sizes[sizes != 0]
