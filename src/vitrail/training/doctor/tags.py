"""Tags of words: in each scheme a tag allows only some others behind it (tasks/tags.py knows which)."""

from collections.abc import Iterator

from vitrail.tasks.tags import faults, scheme_of
from vitrail.training.doctor.finding import Finding, Hit, finding
from vitrail.training.doctor.view import View


def broken_transition(view: View) -> Iterator[Finding]:
    """In the scheme of the training rows."""
    if not view.of_kind("tags"):
        return
    remedy = "Correct these tags: a name begins with B- (or S-), and goes on with tags of its own kind."
    scheme = scheme_of([row["tags"] for row in view.rows["train"]])
    for split, rows in view.rows.items():
        hits: list[Hit] = []
        for row in rows:
            broken = faults(row["tags"], scheme=scheme)
            if broken:
                place, words = broken[0]
                hits.append((row["row"], f"token {place}: {words}"))
        message = f"{{}} with a tag that cannot stand where it does in {scheme}"
        yield from finding("broken-transition", "warning", split, message, remedy, hits)


def empty_token(view: View) -> Iterator[Finding]:
    remedy = "Delete the token with its tag: a tokenizer makes nothing of it, and it is never predicted."
    for split, rows in view.rows.items():
        hits = [
            (row["row"], f"token {position} is {token!r}")
            for row in rows
            for position, token in enumerate(row.get("tokens", ()))
            if not token.strip()
        ]
        yield from finding("empty-token", "warning", split, "{} with an empty token", remedy, hits)
