"""Data through all checks: for `vitrail doctor`, and for `vitrail train` before it loads a model."""

from collections.abc import Sequence
from pathlib import Path

from vitrail.tasks import TASKS, Role
from vitrail.training.datasets import DataConfig
from vitrail.training.datasets.read import refuse_unknown_roles
from vitrail.training.datasets.rows import sources_of
from vitrail.training.doctor.checks import CHECKS
from vitrail.training.doctor.finding import Finding
from vitrail.training.doctor.view import read_view

ORDER = ("error", "warning", "note")
BY_PARTS = (
    "token-classification",
    "question-answering",
    "reranking",
    "text-classification",
    "embedding",
    "fill-mask",
)
"""Tasks from the most particular parts to the least."""


def examine(
    data: DataConfig,
    task: str | None = None,
    *,
    tokenizer: Path | None = None,
    max_length: int | None = None,
    offline: bool = False,
) -> list[Finding]:
    """What is wrong with the data, errors first.

    task: None for the first of `BY_PARTS` whose required roles are all named, or are columns of the training data.
    tokenizer: the folder of one, with which texts longer than max_length are found; without it lengths are estimated.
    """
    roles = roles_of(task or task_of(data, offline=offline))
    refuse_unknown_roles(data, roles)
    view = read_view(data, roles, offline=offline)
    if tokenizer is not None:
        from vitrail.tokenization import Tokenizer

        view.tokenizer = Tokenizer.from_folder(tokenizer)
        view.max_length = max_length or view.tokenizer.max_length
    findings = [found for check in CHECKS.values() for found in check(view)]
    return sorted(findings, key=lambda found: ORDER.index(found.severity))


def roles_of(task: str) -> Sequence[Role]:
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")
    return TASKS[task].roles


def task_of(data: DataConfig, *, offline: bool = False) -> str:
    """The task whose roles the columns play, by their names."""
    records = (record for _, records in sources_of(data, "train", offline=offline) for record in records)
    columns = next((set(record.columns) for record in records if not record.error), set())
    for task in BY_PARTS:
        required = [role.name for role in roles_of(task) if role.required]
        if all(name in data.roles or name in columns for name in required):
            return task
    raise ValueError(
        f"which task are these data for? Name it (--task) and the column of each role; there are the columns: "
        f"{', '.join(sorted(columns)) or 'none'}."
    )
