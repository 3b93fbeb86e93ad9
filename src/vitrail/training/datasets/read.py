"""Rows of all splits: read, freed of copies, parted and drawn, always in that order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from vitrail.errors import FileFormatError
from vitrail.tasks.task import Role
from vitrail.training.datasets.config import SPLITS, DataConfig, Split
from vitrail.training.datasets.equality import input_key
from vitrail.training.datasets.rows import Fault, RowByRole, read_split
from vitrail.training.datasets.setting_aside import set_aside


@dataclass(frozen=True, kw_only=True)
class Data:
    """The rows of a run, keyed by role. dropped: how many rows each split lost as copies."""

    train: list[RowByRole]
    validation: list[RowByRole]
    test: list[RowByRole]
    dropped: Mapping[Split, int]


def read_data(config: DataConfig, roles: Sequence[Role], *, offline: bool = False) -> Data:
    """The data of a run.

    Raises `FileFormatError` at the first record that cannot be a row, and when a split has no rows.
    """
    refuse_unknown_roles(config, roles)
    splits: dict[Split, list[RowByRole]] = {
        split: read_whole(config, split, roles, offline=offline) for split in SPLITS
    }
    kept = without_copies(splits, roles) if config.deduplicate else splits
    dropped = {split: len(splits[split]) - len(kept[split]) for split in SPLITS}
    whole = len(kept["train"])
    for split, fraction in config.fractions.items():
        kept["train"], kept[split] = set_aside(
            kept["train"], round(fraction * whole), roles=roles, group=config.group, seed=config.seed
        )
    for split in SPLITS:
        if getattr(config, split) is not None and not kept[split]:
            raise FileFormatError(f"the {split} data has no rows: {getattr(config, split)}")
    return Data(train=draw(kept["train"], config), validation=kept["validation"], test=kept["test"], dropped=dropped)


def refuse_unknown_roles(config: DataConfig, roles: Sequence[Role]) -> None:
    known = [role.name for role in roles]
    for name in [*config.roles, *(config.group or ())]:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"the task has no role {name!r}; it has: {', '.join(known)}.{hint}")


def read_whole(config: DataConfig, split: Split, roles: Sequence[Role], *, offline: bool) -> list[RowByRole]:
    rows = []
    for row in read_split(config, split, roles, offline=offline):
        if isinstance(row, Fault):
            raise FileFormatError(f"{row.place}: {row.reason}. `vitrail doctor` lists every fault of the data.")
        rows.append(row)
    return rows


def without_copies(splits: Mapping[Split, list[RowByRole]], roles: Sequence[Role]) -> dict[Split, list[RowByRole]]:
    seen: set[bytes] = set()
    kept: dict[Split, list[RowByRole]] = {}
    for split in reversed(SPLITS):
        kept[split] = []
        for row in splits[split]:
            key = input_key(row, roles)
            if key not in seen:
                seen.add(key)
                kept[split].append(row)
    return kept


def draw(rows: list[RowByRole], config: DataConfig) -> list[RowByRole]:
    """At most `per_label` rows of each label, and of those at most `limit`."""
    generator = np.random.default_rng(config.seed)
    order = generator.permutation(len(rows)).tolist()
    if config.per_label is not None:
        of_label: dict[str, int] = defaultdict(int)
        chosen = []
        for index in order:
            label = str(rows[index].get("label"))
            of_label[label] += 1
            if of_label[label] <= config.per_label:
                chosen.append(index)
        order = chosen
    return [rows[index] for index in sorted(order[: config.limit])]
