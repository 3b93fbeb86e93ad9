"""Rows set aside from the training rows: labels in proportion, and no text on both sides.

Rows that share a text (a caption with five translations, the questions on one context) form a group, and a group moves
as one. Groups are drawn by seed within the label of their first row; what rounding leaves over is carried to the
next label, so that the whole comes out as asked.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vitrail.tasks.task import Role
from vitrail.training.datasets.equality import tying_keys
from vitrail.training.datasets.rows import RowByRole

MOST_OFF = 0.1
"""How far the part set aside may be from what was asked, as a fraction of it; beyond, groups are too large to part."""


def set_aside(
    rows: Sequence[RowByRole], wanted: int, *, roles: Sequence[Role], group: Sequence[str] | None, seed: int
) -> tuple[list[RowByRole], list[RowByRole]]:
    """(what stays, about `wanted` rows), both in the order of the file.

    Raises `ValueError` when the rows are tied into groups too large for that.
    """
    of_label: dict[str, list[list[int]]] = defaultdict(list)
    for members in groups_of(rows, group):
        of_label[stratum(rows[members[0]])].append(members)
    generator = np.random.default_rng(seed)
    aside: set[int] = set()
    passed = 0
    for label in sorted(of_label):
        groups = of_label[label]
        passed += sum(map(len, groups))
        quota = round(wanted * passed / len(rows)) - len(aside)
        # One group of every label stays: a label that is not trained on could not be told.
        for index in generator.permutation(len(groups))[:-1].tolist():
            if len(groups[index]) <= quota:
                aside.update(groups[index])
                quota -= len(groups[index])
    if abs(len(aside) - wanted) > max(MOST_OFF * wanted, len(of_label)):
        named = list(group) if group is not None else [role.name for role in roles if role.kind in ("text", "tokens")]
        raise ValueError(
            f"of {len(rows)} rows {wanted} should be set aside, but {len(aside)} could: equal values of "
            f"{', '.join(named)} tie the others together. Name fewer roles (group: [{named[0]}]), or give a file."
        )
    stays = [row for index, row in enumerate(rows) if index not in aside]
    return stays, [row for index, row in enumerate(rows) if index in aside]


def stratum(row: RowByRole) -> str:
    """The label; of several, the first."""
    label = row.get("label")
    return str(label[0] if isinstance(label, list) and label else label)


def groups_of(rows: Sequence[RowByRole], group: Sequence[str] | None) -> list[list[int]]:
    """The rows by group (union-find over equal values), each and all in the order of the file."""
    parents = list(range(len(rows)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        for key in tying_keys(row, group):
            one, other = sorted((root(first.setdefault(key, index)), root(index)))
            parents[other] = one
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(rows)):
        members[root(index)].append(index)
    return list(members.values())
