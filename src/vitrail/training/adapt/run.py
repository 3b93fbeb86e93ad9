"""`vitrail.adapt`, and what it returns. What it takes (`assembly.py`) is imported when something is adapted."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrail.training.adapt.config import AdaptConfig


@dataclass(frozen=True, kw_only=True)
class AdaptationResult:
    """folder: all that was written. model: the adapted model, for `vitrail.load`; None where it was not kept.
    reason: why it was kept, or not. words: those that were added. facts: what report.json holds.
    """

    folder: Path
    model: Path | None
    reason: str
    words: tuple[str, ...]
    facts: Mapping[str, Any]


def adapt(
    config: "AdaptConfig | Mapping[str, Any] | str | os.PathLike[str]",
    folder: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    show_progress: bool | None = None,
) -> AdaptationResult:
    """Make an encoder familiar with the text of a domain, and keep the result only if it is better at your task.

    config: an `AdaptConfig`, its keys, or the path of a YAML file. overrides: `vocabulary.most=500`, on top of it.
    folder: must be empty or not be there.

    In one process. Raises ValueError for a configuration that cannot be used, and what `vitrail.train` raises.
    """
    from vitrail.training.adapt.assembly import adapt_in

    return adapt_in(Path(folder), config, overrides=overrides, show_progress=show_progress)
