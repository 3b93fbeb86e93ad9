"""Tags of words: in each scheme a tag allows only some others behind it.

B- begins a name, I- or M- goes on with it, E- or L- ends it, S- or U- is a name of one word, O is none. Data without
I-, M- or E- tags (parts of speech, say) have no transitions to break. In IOB1 a name begins with I-, and B- only parts
it from one before it of the same kind.
"""

from collections.abc import Iterator, Sequence

from vitrail.training.doctor.finding import Finding, finding
from vitrail.training.doctor.view import View

INSIDE = frozenset("IM")
LAST = frozenset("EL")
SINGLE = frozenset("SU")
PREFIXES = INSIDE | LAST | SINGLE | {"B"}


def broken_transition(view: View) -> Iterator[Finding]:
    remedy = "Correct these tags: a name begins with B- (or S-), and goes on with tags of its own kind."
    if "tags" not in view.of_kind("tags"):
        return
    sentences = [row["tags"] for row in view.rows.get("train", [])]
    scheme = scheme_of(sentences)
    for split, rows in view.rows.items():
        if scheme is not None:
            hits = [(row["row"], broken) for row in rows if (broken := first_broken(row["tags"], scheme))]
            message = f"{{}} with a tag that cannot follow the one before it in {scheme}"
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


def parts(tag: str) -> tuple[str, str]:
    """(prefix, kind); the prefix of O is O, and of a tag of another shape nothing."""
    if tag == "O":
        return "O", ""
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if dash and prefix in PREFIXES else ("", tag)


def scheme_of(sentences: Sequence[Sequence[str]]) -> str | None:
    """IOB1, BIO, or BIOES (which BMES is with other letters); None where tags do not join words into names."""
    prefixes = {parts(tag)[0] for tags in sentences for tag in tags}
    if "" in prefixes or not prefixes & (INSIDE | LAST):
        return None
    if prefixes & (LAST | SINGLE):
        return "BIOES"
    parting = all(
        position > 0 and parts(tags[position - 1])[0] in ("I", "B") and parts(tags[position - 1])[1] == parts(tag)[1]
        for tags in sentences
        for position, tag in enumerate(tags)
        if parts(tag)[0] == "B"
    )
    return "IOB1" if parting else "BIO"


def first_broken(tags: Sequence[str], scheme: str) -> str:
    """The first two tags of which the second cannot follow the first, in words; nothing when all can."""
    if scheme == "IOB1":
        return ""
    closed = scheme == "BIOES"
    before, kind_before = "O", ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, kind = parts(tag)
        is_open = before in INSIDE | {"B"}
        goes_on = prefix in INSIDE | LAST
        if (goes_on and not (is_open and kind == kind_before)) or (closed and is_open and not goes_on):
            behind = f"{before}-{kind_before}" if kind_before else before
            last = position == len(tags)
            return f"{behind} at the end" if last else f"{tag} at token {position} behind {behind}"
        before, kind_before = prefix, kind
    return ""
