"""What a run left in its folder, as the report needs it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vitrail.errors import FileFormatError


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """config: as it was resolved. evaluations: of both splits, in their order. predictions: of the validation rows."""

    folder: Path
    config: Mapping[str, Any]
    evaluations: list[Mapping[str, Any]]
    predictions: list[Mapping[str, Any]]

    def line(self, split: str, metric: str) -> list[tuple[float, float]]:
        """(step, value) of a metric on a split."""
        return [
            (float(entry["step"]), float(entry["metrics"][metric]))
            for entry in self.evaluations
            if entry["split"] == split and metric in entry["metrics"]
        ]

    @property
    def metrics(self) -> list[str]:
        """The metrics of the validation data, loss last."""
        found = next((list(entry["metrics"]) for entry in self.evaluations if entry["split"] == "validation"), [])
        return sorted(found, key=lambda name: name == "loss")


def read_run(folder: Path) -> RunFiles:
    yaml: Any = import_module("yaml")
    with (folder / "config.yaml").open(encoding="utf-8") as stream:
        config = yaml.safe_load(stream)
    log = read_json_lines(folder / "log.jsonl")
    predictions = folder / "predictions.jsonl"
    return RunFiles(
        folder=folder,
        config=config,
        evaluations=[entry for entry in log if entry["event"] == "evaluation"],
        predictions=read_json_lines(predictions) if predictions.is_file() else [],
    )


def read_json_lines(path: Path) -> list[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        try:
            return [json.loads(line) for line in stream if line.strip()]
        except ValueError as error:
            raise FileFormatError(f"{path} is damaged: {error}. Let the run end, or resume it.") from error
