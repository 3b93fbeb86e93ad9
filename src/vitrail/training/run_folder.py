"""What a run leaves behind.

run/
    config.yaml         the configuration, every key with its value
    run.json            what the run was made with: digest of the data, versions, processes
    log.jsonl           records (records.py)
    checkpoints/        snapshots (snapshots.py)
    model/              the weights that are kept; `vitrail.load(…, task=…)` opens it
    predictions.jsonl   row, gold, prediction and probabilities of the validation data, by the model in model/
    report.md           what came of it, with pictures (report/)
    tensorboard/        events, where asked for
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vitrail.errors import FingerprintMismatch, TrainingError
from vitrail.tasks.task import Example
from vitrail.training.config import RunConfig
from vitrail.training.config_files import read_config, write_config


class RunFolder:
    """A run's folder; `begin` makes it or checks that it is the same run's."""

    def __init__(self, path: Path):
        self.path = path
        self.config, self.facts, self.log = path / "config.yaml", path / "run.json", path / "log.jsonl"
        self.snapshots, self.model, self.board = path / "checkpoints", path / "model", path / "tensorboard"
        self.predictions = path / "predictions.jsonl"

    def check(self, *, resume: bool) -> None:
        """Refuse, before anything is read, a folder that holds something else, or a run that nobody wants to go on."""
        if resume and not self.config.is_file():
            raise TrainingError(f"{self.path} holds no run to go on with; leave --resume out to begin one there.")
        if not resume and self.path.exists() and any(self.path.iterdir()):
            what = (
                "holds a run already; give --resume to go on with it, or" if self.config.is_file() else "is not empty;"
            )
            raise FileExistsError(f"{self.path} {what} choose another folder.")

    def begin(self, config: RunConfig, *, data: str, processes: int) -> None:
        """Write down what the run is made with; where it is written down, compare."""
        if self.facts.is_file():
            then = flat(read_config(self.config).model_dump(mode="json")) | {
                "data": json.loads(self.facts.read_text())["data"]
            }
            now = flat(config.model_dump(mode="json")) | {"data": data}
            changed = {
                name: (then.get(name), now.get(name))
                for name in sorted({*then, *now})
                if then.get(name) != now.get(name) and name not in _MAY_CHANGE
            }
            if changed:
                raise FingerprintMismatch(str(self.path), changed)
        self.path.mkdir(parents=True, exist_ok=True)
        write_config(config, self.config)
        facts = {"data": data, "processes": processes, "threads": torch.get_num_threads(), "versions": _versions()}
        self.facts.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def put_model(self, save: Callable[[Path], None]) -> None:
        """Let `save` write a folder, and put it in the place of `model` when it is whole."""
        partial, old = self.path / ".model.partial", self.path / ".model.old"
        for stale in (partial, old):
            shutil.rmtree(stale, ignore_errors=True)
        save(partial)
        if self.model.exists():
            self.model.rename(old)
        partial.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)

    def put_predictions(self, records: Iterable[dict[str, Any]]) -> None:
        partial = self.predictions.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        partial.replace(self.predictions)


# What may differ between the two halves of a run without changing its result.
_MAY_CHANGE = frozenset(
    {
        "training.checkpoint_steps",
        "training.keep_checkpoints",
        "logging.report",
        "logging.tensorboard",
        "logging.graph",
        "logging.projector",
    }
)


def digest_of(examples: Sequence[Example]) -> str:
    """A number for the ids and targets of a set of examples."""
    digest = hashlib.sha256()
    for example in examples:
        for sequence in example.sequences:
            digest.update(sequence.tobytes())
        digest.update(repr(example.target).encode())
    return digest.hexdigest()


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as `section.key`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        found["vitrail"] = version("vitrail")
    except PackageNotFoundError:  # run from sources that are not installed
        found["vitrail"] = "unknown"
    return found
