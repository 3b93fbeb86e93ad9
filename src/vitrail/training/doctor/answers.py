"""Answers of extractive questions: each must stand in its context, where it is said to."""

from collections.abc import Iterator
from typing import Any

from vitrail.training.datasets.equality import normalised
from vitrail.training.doctor.finding import Finding, Hit, finding
from vitrail.training.doctor.view import View


def misplaced_answer(view: View) -> Iterator[Finding]:
    remedy = "Set the offset to where the text stands (in code points, not bytes or UTF-16 units)."
    for split in view.rows:
        hits = [(row, words) for row, words, present in wrong_answers(view, split) if present]
        message = "{} with an answer that stands elsewhere in its context than its offset says"
        yield from finding("misplaced-answer", "error", split, message, remedy, hits)


def answer_not_in_context(view: View) -> Iterator[Finding]:
    remedy = "Correct the text of the answer to what the context has, letter by letter, or delete the question."
    for split in view.rows:
        hits = [(row, words) for row, words, present in wrong_answers(view, split) if not present]
        message = "{} with an answer that is not in its context"
        yield from finding("answer-not-in-context", "error", split, message, remedy, hits)


def wrong_answers(view: View, split: Any) -> Iterator[tuple[int, str, bool]]:
    """(row, words, whether the text stands elsewhere): the first wrong answer of each row."""
    for row in view.rows[split]:
        for answer in row.get("answers", ()):
            text, start, context = answer["text"], answer["start"], row["context"]
            if not text or start < 0 or context[start : start + len(text)] != text:
                yield describe(row["row"], text, start, context)
                break


def describe(row: int, text: str, start: int, context: str) -> tuple[int, str, bool]:
    nearest = nearest_place(text, start, context) if text else None
    said = f"{text[:40]!r} should stand at {start}"
    if nearest is not None:
        return row, f"{said}, and stands at {nearest}", True
    almost = bool(text) and normalised(text) in normalised(context)
    words = "but for case or white space it is in the context" if almost else "it is nowhere in the context"
    return row, f"{said}; {words}", False


def nearest_place(text: str, start: int, context: str) -> int | None:
    places = (context.rfind(text, 0, max(start, 0) + len(text)), context.find(text, max(start, 0)))
    found = [place for place in places if place >= 0]
    return min(found, key=lambda place: abs(place - start)) if found else None


def repeated_id(view: View) -> Iterator[Finding]:
    remedy = "Give every question an id of its own: predictions are matched by it."
    for split, rows in view.rows.items():
        seen: set[str] = set()
        hits: list[Hit] = []
        for row in rows:
            if "id" in row and "question" in row:
                if row["id"] in seen:
                    hits.append((row["row"], repr(row["id"])))
                seen.add(row["id"])
        yield from finding("repeated-id", "warning", split, "{} with the id of an earlier one", remedy, hits)
