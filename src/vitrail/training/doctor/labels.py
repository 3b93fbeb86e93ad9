"""Labels, tags and scores: which there are, in which split, and how many of each."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from vitrail.training.datasets.config import Split
from vitrail.training.datasets.equality import normalised
from vitrail.training.datasets.rows import RowByRole
from vitrail.training.doctor.finding import Finding, finding
from vitrail.training.doctor.view import View

MOST_IMBALANCE = 20
"""Rows of the most frequent label for one of the rarest."""
SCALES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))
MOST_OUTSIDE = 0.02


def words_of(row: RowByRole, role: str) -> list[str]:
    value = row.get(role, [])
    return value if isinstance(value, list) else [value]


def counts(view: View, split: Split, role: str) -> Counter[str]:
    return Counter(word for row in view.rows[split] for word in words_of(row, role))


def unseen_label(view: View) -> Iterator[Finding]:
    remedy = "Part the data anew (a fraction, stratified), add training rows with these labels, or correct their names."
    for role in view.of_kind("label", "labels", "tags"):
        known = counts(view, "train", role)
        for split in view.rows:
            if split != "train" and known:
                hits = [
                    (row["row"], repr(new[0]))
                    for row in view.rows[split]
                    if (new := [word for word in words_of(row, role) if word not in known])
                ]
                names = sorted(set(counts(view, split, role)) - set(known))
                message = f"{{}} with a {role.removesuffix('s')} that no training row has: {', '.join(names[:5])}"
                yield from finding("unseen-label", "error", split, message, remedy, hits)


def one_class(view: View) -> Iterator[Finding]:
    for role in view.of_kind("label", "labels", "tags"):
        found = counts(view, "train", role)
        if len(found) == 1:
            (name,) = found
            message = f"every training row has the same {role.removesuffix('s')}: {name!r}"
            remedy = "There is nothing to tell apart: add rows of another, or name another column."
            hits = [(row["row"], name) for row in view.rows["train"]]
            yield from finding("one-class", "error", "train", message, remedy, hits)


def similar_labels(view: View) -> Iterator[Finding]:
    """Labels that are one but for case and white space; in all splits together."""
    for role in view.of_kind("label", "labels", "tags"):
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for split in view.rows:
            for name, count in counts(view, split, role).items():
                spellings[normalised(name)][name] += count
        groups = [group for group in spellings.values() if len(group) > 1]
        rare = {name for group in groups for name, _ in group.most_common()[1:]}
        shown = "; ".join(
            " / ".join(f"{name!r} ({count:,})" for name, count in group.most_common()) for group in groups[:3]
        )
        for split, rows in view.rows.items():
            hits = [(row["row"], repr(name)) for row in rows for name in words_of(row, role) if name in rare]
            message = f"labels that differ only in case or white space, {{}} with the rarer spelling: {shown}"
            yield from finding("similar-labels", "warning", split, message, "Write each label in one way.", hits)


def class_imbalance(view: View) -> Iterator[Finding]:
    """Of labels; that most words of a text have no tag is as it should be."""
    for role in view.of_kind("label", "labels"):
        found = counts(view, "train", role).most_common()
        if len(found) > 1 and found[0][1] > MOST_IMBALANCE * found[-1][1]:
            (most, many), (least, few) = found[0], found[-1]
            message = f"{most!r} has {many:,} training rows, {least!r} {few:,}"
            remedy = "Watch macro-F1 or MCC instead of accuracy, and collect more of the rare ones."
            hits = [(row["row"], repr(least)) for row in view.rows["train"] if least in words_of(row, role)]
            yield from finding("class-imbalance", "warning", "train", message, remedy, hits)


def score_outside_range(view: View) -> Iterator[Finding]:
    """The scale is the narrowest usual one that nearly all scores of the training rows fit."""
    for role in view.of_kind("number"):
        scores = [row[role] for row in view.rows["train"] if role in row]
        scale = scale_of(scores)
        for split in view.rows if scale else ():
            low, high = scale or (-math.inf, math.inf)
            hits = [
                (row["row"], f"{row[role]:g}")
                for row in view.rows[split]
                if role in row and not low <= row[role] <= high
            ]
            message = f"{{}} whose {role} is outside {low:g} to {high:g}, where the others are"
            yield from finding("score-outside-range", "error", split, message, "Correct or delete them.", hits)


def scale_of(scores: list[float]) -> tuple[float, float] | None:
    for low, high in SCALES:
        outside = sum(not low <= score <= high for score in scores)
        if scores and outside <= MOST_OUTSIDE * len(scores):
            return low, high
    return None
