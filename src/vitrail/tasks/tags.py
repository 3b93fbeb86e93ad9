"""Tags of words and the spans they stand for, in every scheme people have written them.

    BIO          B-X begins a span, I-X goes on                         (IOB2)
    IOB1         I-X; B-X only where a span of the same type touches    (the first CoNLL data)
    BIOES, BMES  as BIO, with E-X at the end and S-X for a single word  (M- for I-; L- and U- are E- and S-)
    plain        no prefixes: each word has a label of its own          (parts of speech)

Spans are read off by one rule, that of the CoNLL evaluation: it agrees with each scheme where the tags are right, and
makes the same of wrong ones everywhere. Whether they are right is asked apart (`faults`).
"""

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
_TAG = re.compile(r"([BIESMLU])-(.+)", re.DOTALL)
CLOSING = ("BIOES", "BMES")  # schemes that mark the ends of spans
_INSIDE = {"BIO": "I", "BIOES": "I", "BMES": "M"}

# (type, first word, word after the last)
TagSpan = tuple[str, int, int]


def split_tag(tag: str) -> tuple[str, str]:
    """(prefix, type) with the prefix one of B I E S O; a tag without one is inside a span of its own name."""
    if tag == OUTSIDE or not tag:
        return "O", ""
    match = _TAG.fullmatch(tag)
    if match is None:
        return ("BIES"["BIES".index(tag)], "") if tag in "BIES" else ("I", tag)
    return {"M": "I", "L": "E", "U": "S"}.get(match[1], match[1]), match[2]


def scheme_of(sequences: Iterable[Sequence[str]]) -> str:
    """The scheme of a whole set of data."""
    prefixes: set[str] = set()
    loose = False  # a span that begins with I, as in IOB1
    touching = True  # B only where a span of the same type ends, as in IOB1
    for tags in sequences:
        before = ("O", "")
        for tag in tags:
            match = _TAG.fullmatch(tag)
            prefixes.add("O" if tag == OUTSIDE else match[1] if match else "plain")
            prefix, kind = split_tag(tag)
            loose |= prefix == "I" and before[1] != kind
            touching &= prefix != "B" or (before[0] != "O" and before[1] == kind)
            before = prefix, kind
    if "plain" in prefixes or prefixes <= {"O"}:
        return "plain" if "plain" in prefixes else "BIO"
    if "M" in prefixes:
        return "BMES"
    if prefixes & set("ESLU"):
        return "BIOES"
    return "IOB1" if loose and touching else "BIO"


def spans_of(tags: Sequence[str], *, scheme: str = "BIO") -> list[TagSpan]:
    """The spans in a sequence of tags; in the plain scheme every word is one."""
    if scheme == "plain":
        return [(tag, place, place + 1) for place, tag in enumerate(tags) if tag != OUTSIDE]
    found: list[TagSpan] = []
    start, previous, kind_before = 0, "O", ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = split_tag(tag)
        inside = previous != "O"
        if inside and (previous in "ES" or prefix in "BSO" or kind != kind_before):
            found.append((kind_before, start, place))
            inside = False
        if prefix != "O" and not inside:
            start = place
        previous, kind_before = prefix, kind
    return found


def tags_of(spans: Iterable[TagSpan], length: int, *, scheme: str) -> list[str]:
    """The tags of `length` words in a scheme; spans must not overlap."""
    tags = [OUTSIDE] * length
    for kind, start, stop in spans:
        if scheme == "plain":
            tags[start:stop] = [kind] * (stop - start)
            continue
        tags[start:stop] = [f"{_INSIDE[scheme]}-{kind}"] * (stop - start)
        tags[start] = f"B-{kind}"
        if scheme != "BIO":
            tags[stop - 1] = f"{'S' if stop - start == 1 else 'E'}-{kind}"
    return tags


def tag_labels(sequences: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """All tags a model needs for such data: O first, then those of each type. IOB1 is learned as BIO."""
    scheme = scheme_of(sequences)
    if scheme == "plain":
        return tuple(sorted({tag for tags in sequences for tag in tags}))
    kinds = sorted({kind for tags in sequences for kind, _, _ in spans_of(tags)})
    prefixes = "BI" if scheme in ("BIO", "IOB1") else f"B{_INSIDE[scheme]}ES"
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in prefixes))


def learned_scheme(labels: Sequence[str]) -> str:
    """The scheme in which a model with these labels tags."""
    scheme = scheme_of([[label] for label in labels])
    return "BIO" if scheme == "IOB1" else scheme


def faults(tags: Sequence[str], *, scheme: str) -> list[tuple[int, str]]:
    """(place, what is wrong) of every tag that breaks the scheme."""
    if scheme == "plain":
        return []
    if scheme == "IOB1":
        right = _iob1(spans_of(tags), len(tags))
        return [
            (place, f"{tag} where IOB1 has {right[place]}") for place, tag in enumerate(tags) if tag != right[place]
        ]
    wrong = []
    before = OUTSIDE
    for place, tag in enumerate([*tags, OUTSIDE]):
        if not follows(before, tag, scheme=scheme):
            prefix, kind = split_tag(tag)
            if prefix in "IE":
                wrong.append((place, f"{tag} without a span of {kind or 'its type'} before it"))
            else:
                wrong.append((place - 1, f"{before} ends a span that {scheme} ends with E-"))
        before = tag
    return wrong


def follows(before: str, tag: str, *, scheme: str) -> bool:
    """Whether a scheme (other than IOB1) lets `tag` stand after `before`; O stands before the first, after the last."""
    if scheme == "plain":
        return True
    prefix_before, kind_before = split_tag(before)
    prefix, kind = split_tag(tag)
    is_open = prefix_before in "BI"
    if prefix in "IE":
        return is_open and kind == kind_before
    return not (is_open and scheme in CLOSING)


def _iob1(spans: Iterable[TagSpan], length: int) -> list[str]:
    tags = [OUTSIDE] * length
    previous: TagSpan = ("", -1, -1)
    for kind, start, stop in spans:
        tags[start:stop] = [f"I-{kind}"] * (stop - start)
        if previous[0] == kind and previous[2] == start:
            tags[start] = f"B-{kind}"
        previous = kind, start, stop
    return tags
