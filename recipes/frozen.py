"""What the default model does without training, and the scores of simple baselines on the test data of a run."""

from pathlib import Path
from typing import Any

import numpy as np


def banking77_few(seed: int, folder: Path) -> dict[str, Any]:
    """MTEB's protocol: a draw of 8 questions per label, logistic regression on their vectors, the whole test set."""
    return _banking77(per_label=8, seed=seed, vectors=folder.with_name("vectors"))


def banking77_full(seed: int, folder: Path) -> dict[str, Any]:
    return _banking77(per_label=None, seed=seed, vectors=folder.with_name("vectors"))


def _banking77(*, per_label: int | None, seed: int, vectors: Path) -> dict[str, Any]:
    """vectors: a file that keeps them from draw to draw."""
    from sklearn.linear_model import LogisticRegression

    import vitrail
    from vitrail.tasks import TASKS
    from vitrail.training.datasets import DataConfig, read_data

    config = DataConfig(
        train="$VITRAIL_DATA/banking77/train.csv",
        test="$VITRAIL_DATA/banking77/test.csv",
        roles={"label": "category"},
        per_label=per_label,
        seed=seed,
    )
    rows = read_data(config, TASKS["text-classification"].roles)
    encoder = vitrail.load()
    train, test = (
        encoder.embed([row["text"] for row in some], show_progress=False, cache=vectors)
        for some in (rows.train, rows.test)
    )
    # the protocol's own strength for few rows; many rows need less of it
    regression = LogisticRegression(C=1.0 if per_label else 10.0, max_iter=1000)
    regression.fit(train, [row["label"] for row in rows.train])
    found = regression.predict(test)
    return {"accuracy": float(np.mean(found == np.array([row["label"] for row in rows.test])))}


def stsb_zero_shot(seed: int, folder: Path) -> dict[str, Any]:
    """Spearman's correlation of the cosines with the scores of the test pairs."""
    import vitrail
    from vitrail.tasks import TASKS
    from vitrail.tasks.metrics import spearman
    from vitrail.training.config_files import read_config
    from vitrail.training.datasets import read_data

    config = read_config(Path(__file__).parent / "stsb.yaml")
    rows = read_data(config.data, TASKS["embedding"].roles).test
    encoder = vitrail.load()
    first, second = (encoder.embed([row[name] for row in rows], show_progress=False) for name in ("text", "text_pair"))
    return {"spearman": spearman((first * second).sum(1), np.array([row["score"] for row in rows]))}


def baseline_scores(config: Path, metric: str) -> dict[str, Any]:
    """`metric` of each baseline of text classification, learned and scored on the same rows as the run of `config`."""
    from vitrail.tasks import TASKS
    from vitrail.tasks.metrics import accuracy, matthews
    from vitrail.training.baselines import baselines
    from vitrail.training.config_files import read_config
    from vitrail.training.datasets import read_data

    score = {"accuracy": accuracy, "mcc": matthews}[metric]
    rows = read_data(read_config(config).data, TASKS["text-classification"].roles)
    number = {label: n for n, label in enumerate(sorted({row["label"] for row in (*rows.train, *rows.test)}))}
    wanted = np.array([number[row["label"]] for row in rows.test])
    return {
        name: score(np.array([number[label] for label in found]), wanted)
        for name, found in baselines("text-classification", rows.train, rows.test).items()
    }
