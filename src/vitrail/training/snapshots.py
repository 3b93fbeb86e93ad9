"""All there is to know about a run between two steps, on disk: whole, or not there.

    checkpoints/step-00000120/
        weights.safetensors     every parameter of the encoder and its head, by name
        optimizer.safetensors   what the optimiser remembers of each
        average.safetensors     averaged weights, if any are kept
        state.json              counters, the best score, and what the data was

A snapshot is written under another name, flushed to the disk, and renamed; a folder with the final name is complete.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from vitrail.errors import DamagedFile

_NAME = "step-{:08d}"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run after `step` steps."""

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    state: Mapping[str, Any]


def write_snapshot(folder: Path, snapshot: Snapshot, *, keep: int) -> Path:
    """Add a snapshot to `folder` and remove all but the last `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / _NAME.format(snapshot.step)
    partial = folder / f".{place.name}.partial"
    for stale in (partial, place):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir()
    for name in ("weights", "optimizer", "average"):
        tensors = {key: each.detach().cpu().contiguous() for key, each in getattr(snapshot, name).items()}
        save_file(tensors, partial / f"{name}.safetensors")
        _flush(partial / f"{name}.safetensors")
    state = {"step": snapshot.step, **snapshot.state}
    (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    _flush(partial / "state.json")
    _flush(partial)
    partial.rename(place)
    _flush(folder)
    for old in _complete(folder)[:-keep]:
        shutil.rmtree(old)
    return place


def latest_snapshot(folder: Path) -> Snapshot | None:
    """The last complete snapshot of a run, None where there is none."""
    complete = _complete(folder)
    if not complete:
        return None
    place = complete[-1]
    try:
        tensors = {name: load_file(place / f"{name}.safetensors") for name in ("weights", "optimizer", "average")}
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
    except Exception as error:  # the safetensors library raises an exception of its own
        raise DamagedFile(f"{place} cannot be read ({error}). Remove it to go on from the one before it.") from error
    return Snapshot(step=state.pop("step"), state=state, **tensors)


def _complete(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def _flush(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
