"""The same row twice: in one split it counts double, in two the score is too good, with two labels one is wrong."""

from collections.abc import Iterator, Sequence
from typing import Any

from vitrail.training.datasets.config import SPLITS, Split
from vitrail.training.datasets.equality import input_key
from vitrail.training.datasets.rows import RowByRole
from vitrail.training.doctor.finding import Finding, Hit, finding
from vitrail.training.doctor.view import View

TARGET_KINDS = ("label", "labels", "tags", "number", "answers")
DEDUPLICATE = "Keep one of each: `deduplicate: true` (test keeps its own before validation, and that before train)."


def duplicate_row(view: View) -> Iterator[Finding]:
    """Exactly equal, target and all."""
    targets = view.of_kind(*TARGET_KINDS)
    for split, rows in view.rows.items():
        first: dict[tuple[bytes, str], int] = {}
        hits: list[Hit] = []
        for row in rows:
            key = input_key(row, view.roles, exact=True), repr([row.get(name) for name in targets])
            earlier = first.setdefault(key, row["row"])
            if earlier != row["row"]:
                hits.append((row["row"], f"as row {earlier}: {shown(row, view)}"))
        yield from finding("duplicate-row", "warning", split, "{} equal to an earlier one", DEDUPLICATE, hits)


def text_in_two_splits(view: View) -> Iterator[Finding]:
    keys = {split: {input_key(row, view.roles): row for row in reversed(rows)} for split, rows in view.rows.items()}
    for index, split in enumerate(SPLITS):
        for other in SPLITS[:index]:
            if split in keys and other in keys:
                hits = hits_across(view, split, keys[other], other)
                exact = sum(words.startswith("as ") for _, words in hits)
                rest = "" if exact == len(hits) else f", {len(hits) - exact:,} of them but for case or white space"
                message = f"{{}} of {split} whose text stands in {other} too{rest}"
                yield from finding("text-in-two-splits", "warning", split, message, DEDUPLICATE, hits)


def hits_across(view: View, split: Split, keys: dict[bytes, RowByRole], other: Split) -> list[Hit]:
    hits = []
    for row in view.rows[split]:
        twin = keys.get(input_key(row, view.roles))
        if twin is not None:
            exact = all(row.get(name) == twin.get(name) for name in view.of_kind("text", "tokens"))
            how = "as" if exact else "nearly as"
            hits.append((row["row"], f"{how} row {twin['row']} of {other}: {shown(row, view)}"))
    return hits


def conflicting_labels(view: View) -> Iterator[Finding]:
    """The same text, but for case and white space, with another label than when it was first seen, in any split."""
    first: dict[bytes, tuple[Any, str]] = {}
    remedy = "Decide for one label; both cannot be learned, and both cannot be right in a score."
    for role in view.of_kind("label", "labels", "tags"):
        for split, rows in view.rows.items():
            hits: list[Hit] = []
            for row in rows:
                key, label = input_key(row, view.roles), row.get(role)
                earlier, place = first.setdefault(key, (label, f"row {row['row']} of {split}"))
                if earlier != label:
                    hits.append((row["row"], f"{difference(label, earlier, place)}: {shown(row, view)}"))
            message = f"{{}} with the text of an earlier one, and another {role.removesuffix('s')}"
            yield from finding("conflicting-labels", "warning", split, message, remedy, hits)


def difference(label: Any, earlier: Any, place: str) -> str:
    """Of tags the first that differs."""
    if isinstance(label, list) and isinstance(earlier, list) and len(label) == len(earlier):
        position = next(i for i, (one, other) in enumerate(zip(label, earlier, strict=True)) if one != other)
        return f"item {position} is {label[position]!r} here, {earlier[position]!r} in {place}"
    return f"{label!r} here, {earlier!r} in {place}"


def shown(row: RowByRole, view: View) -> str:
    values: Sequence[Any] = [row[name] for name in view.of_kind("text", "tokens") if name in row]
    return " | ".join(value if isinstance(value, str) else " ".join(value) for value in values)
