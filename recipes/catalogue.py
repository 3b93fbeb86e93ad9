"""Every recipe: what is run, with which seeds, by which metric it is judged, and what must be reached."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes import frozen

FOLDER = Path(__file__).parent
Run = Callable[[int, Path], dict[str, Any]]  # (seed, folder of the run) -> metrics of the test data


def _training(name: str, *, pretrained: bool = False, draws: bool = False, baselines: bool = False) -> Run:
    """NAME.yaml with a seed. pretrained: it begins with the model of pretraining/NAME.yaml, on the same training rows;
    seeds share it. draws: the seed also draws the training rows. baselines: score them on the test data.
    """

    def run(seed: int, folder: Path) -> dict[str, Any]:
        import vitrail

        overrides = [f"training.seed={seed}", *([f"data.seed={seed}"] if draws else [])]
        if pretrained:
            before = folder.with_name("pretraining")
            parts = _parts(FOLDER / f"{name}.yaml", folder.with_name("data"))
            if not before.exists():
                vitrail.train(FOLDER / "pretraining" / f"{name}.yaml", before, overrides=parts)
            overrides += [*parts, f"model.name={before / 'model'}"]
        result = vitrail.train(FOLDER / f"{name}.yaml", folder, overrides=overrides)
        assert result.test is not None
        metrics: dict[str, Any] = dict(result.test)
        return metrics | (frozen.baseline_scores(folder / "config.yaml", result.metric) if baselines else {})

    return run


def _parts(config: Path, folder: Path) -> list[str]:
    """The rows of a training, parted into files, so that two trainings keep the same rows for the test."""
    from vitrail.tasks import TASKS
    from vitrail.training.config_files import read_config
    from vitrail.training.datasets import read_data

    read = read_config(config)
    data = read_data(read.data, TASKS[read.task.name].roles)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for part in ("train", "validation", "test"):
        file = folder / f"{part}.jsonl"
        lines = [json.dumps({key: row[key] for key in ("text", "label")}) for row in getattr(data, part)]
        file.write_text("\n".join(lines), encoding="utf-8")
        files.append(f"data.{part}={file}")
    return [*files, "data.roles={}"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """about: for the table. metric: of `run`'s, shown × 100. at_least: of the mean of that over the seeds, or None.

    above: another of its metrics that it must exceed.
    """

    about: str
    run: Run
    metric: str
    at_least: float | None = None
    above: str | None = None
    seeds: tuple[int, ...] = (0,)


RECIPES: Mapping[str, Recipe] = {
    "banking77-frozen": Recipe(
        about="Banking77, 8 questions per label: logistic regression on the vectors of the untrained model",
        run=frozen.banking77_few,
        metric="accuracy",
        at_least=78.7,  # 79.5 ± 0.8
        seeds=tuple(range(10)),
    ),
    "banking77-frozen-full": Recipe(
        about="Banking77, all questions: the same", run=frozen.banking77_full, metric="accuracy"
    ),
    "banking77-few": Recipe(
        about="Banking77, 10 questions per label: trained",
        run=_training("banking77-few", draws=True),
        metric="accuracy",
        at_least=84.5,
    ),
    "banking77": Recipe(
        about="Banking77, all questions: trained", run=_training("banking77"), metric="accuracy", at_least=94.0
    ),
    "stsb-zero-shot": Recipe(about="STS-B, untrained", run=frozen.stsb_zero_shot, metric="spearman", at_least=81.98),
    "stsb": Recipe(about="STS-B: trained (CoSENT)", run=_training("stsb"), metric="spearman", at_least=84.5),
    "sms-spam": Recipe(
        about="SMS spam without duplicates",
        run=_training("sms-spam", baselines=True),
        metric="mcc",
        at_least=95.0,
        seeds=(0, 1, 2),
    ),
    "sst2": Recipe(about="SST-2, 12,000 phrases: trained", run=_training("sst2"), metric="accuracy"),
    "chnsenticorp": Recipe(
        about="Chinese hotel reviews, from an encoder built from nothing",
        run=_training("chnsenticorp", pretrained=True, baselines=True),
        metric="accuracy",
        above="TF-IDF of characters + LR",
        seeds=(0, 1, 2),
    ),
    "resume-ner-zh": Recipe(
        about="Chinese names in résumés, from an encoder built from nothing",
        run=_training("resume-ner-zh"),
        metric="f1",
        at_least=90.0,
    ),
}
