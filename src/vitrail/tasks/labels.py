"""The labels that training rows hold, in an order that does not depend on that of the rows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vitrail.tasks.tags import tag_labels

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def labels_of(name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the task `name` has to tell apart in these rows; () for a task without labels.

    Labels that are all numbers are in numerical order ("2" before "10"), others in that of their characters.
    """
    if name == "text-classification":
        values = (row["label"] for row in rows if row.get("label") is not None)
        return ordered(each for value in values for each in (value if isinstance(value, list | tuple) else [value]))
    if name == "token-classification":
        return tag_labels([row["tags"] for row in rows if row.get("tags") is not None])
    return ()


def ordered(labels: Iterable[Any]) -> tuple[str, ...]:
    texts = {str(label) for label in labels}
    if all(_NUMBER.fullmatch(text) for text in texts):
        return tuple(sorted(texts, key=lambda text: (float(text), text)))
    return tuple(sorted(texts))
