"""Values of columns as the kinds of role want them, or the reason why they cannot be.

Text is never made of something else: a number in a text column is a fault of the data. A label may stand in its file as
a number or a truth value, and becomes the word for it; a score may stand there as text.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Outcome = tuple[Any, str | None]
"""(the value, None), or (None, the reason)."""

MISSING = "is missing"
NOT_FINITE = "is not a finite number"


def as_kind(value: object, kind: str) -> Outcome:
    """The value for a role of this kind."""
    if is_missing(value):
        return None, MISSING
    return KINDS[kind](value)


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_text(value: object) -> Outcome:
    return (value, None) if isinstance(value, str) else (None, f"is not a string but {named(value)}")


def as_label(value: object) -> Outcome:
    if isinstance(value, list):
        return as_list(value, as_label_word)
    return as_label_word(value)


def as_label_word(value: object) -> Outcome:
    """Floats that are whole (what a gap makes of a column of integers) become the integer."""
    if isinstance(value, bool):
        return str(value).lower(), None
    if isinstance(value, float) and value.is_integer():
        return str(int(value)), None
    if isinstance(value, str | int | float):
        return (str(value), None) if str(value).strip() else (None, MISSING)
    return None, f"is not a label but {named(value)}"


def as_number(value: object) -> Outcome:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None, f"is not a number but {named(value)}"
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return (None, f"is not a number: {str(value)[:40]!r}") if str(value).strip() else (None, MISSING)
    return (number, None) if math.isfinite(number) else (None, NOT_FINITE)


def as_texts(value: object) -> Outcome:
    return as_list(value, as_text) if isinstance(value, list) else as_list([value], as_text)


def as_words(value: object) -> Outcome:
    """Words of a sentence; a string is parted at white space."""
    return (value.split(), None) if isinstance(value, str) else as_list(value, as_text)


def as_tags(value: object) -> Outcome:
    return (value.split(), None) if isinstance(value, str) else as_list(value, as_label_word)


def as_list(value: object, each: Callable[[object], Outcome]) -> Outcome:
    if not isinstance(value, list | tuple):
        return None, f"is not a list but {named(value)}"
    outcomes = [(None, MISSING) if is_missing(item) else each(item) for item in value]
    reason = next((reason for _, reason in outcomes if reason), None)
    return (None, f"holds an item that {reason}") if reason else ([item for item, _ in outcomes], None)


def as_answers(value: object) -> Outcome:
    """[{"text", "start"}]; also as columns, {"text": […], "answer_start": […]}, as `datasets` keeps SQuAD."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if not (isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)):
            return None, "needs the lists `text` and `answer_start`, of one length"
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        return None, f"is not a list but {named(value)}"
    answers = []
    for answer in value:
        start = answer.get("start", answer.get("answer_start")) if isinstance(answer, Mapping) else None
        if type(start) is not int or not isinstance(answer.get("text"), str):
            return None, "holds an item without `text` and `start`"
        answers.append({"text": answer["text"], "start": start})
    return answers, None


def named(value: object) -> str:
    words = {"int": "a number", "float": "a number", "bool": "a truth value", "list": "a list", "dict": "an object"}
    return words.get(type(value).__name__, type(value).__name__)


KINDS: dict[str, Callable[[object], Outcome]] = {
    "text": as_text,
    "label": as_label,
    "labels": as_label,
    "tokens": as_words,
    "tags": as_tags,
    "number": as_number,
    "texts": as_texts,
    "answers": as_answers,
}
