"""The characters of a text that each number belongs to: a text cut into spans, so that every one can be coloured.

A token's characters may overlap another's (bytes of one emoji), and may end inside of what a reader sees as one
character (an emoji with joiners, a letter with its accents). Such tokens make one span together, with the sum of their
numbers, so that no span ever begins or ends inside a character.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from vitrail.tracing import Reading

JOINER = "\u200d"
# The combining class of the sign that ties two consonants in the scripts of India.
VIRAMA = 9


@dataclass(frozen=True, kw_only=True)
class Span:
    """text[start:end] of text number `source`; its tokens in the stream (none: between tokens), and their sum."""

    source: int
    start: int
    end: int
    text: str
    tokens: tuple[int, ...]
    value: float


def spans_of(reading: Reading, values: Float32[np.ndarray, " tokens"]) -> list[list[Span]]:
    """For each text all its spans, one after the other: together they are the text."""
    found = []
    for source, text in enumerate(reading.texts):
        tokens = np.flatnonzero((reading.sources == source) & (reading.offsets[:, 1] > reading.offsets[:, 0]))
        pieces: list[tuple[int, int, list[int]]] = []
        for token in sorted(tokens.tolist(), key=lambda each: tuple(reading.offsets[each].tolist())):
            start, end = whole_characters(text, *reading.offsets[token].tolist())
            if pieces and start < pieces[-1][1]:
                pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]), [*pieces[-1][2], token])
            else:
                pieces.append((start, end, [token]))
        spans, last = [], 0
        for start, end, some in [*pieces, (len(text), len(text), [])]:
            if last < start:
                spans.append(Span(source=source, start=last, end=start, text=text[last:start], tokens=(), value=0.0))
            if some:
                value = float(values[some].sum())
                spans.append(
                    Span(source=source, start=start, end=end, text=text[start:end], tokens=tuple(some), value=value)
                )
            last = end
        found.append(spans)
    return found


def tokens_apart(reading: Reading) -> list[int]:
    """The tokens that stand for no characters of a text, in the order of the stream: [CLS], a prompt, bare ids."""
    return np.flatnonzero((reading.sources < 0) | (reading.offsets[:, 1] <= reading.offsets[:, 0])).tolist()


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """The smallest stretch around text[start:end] that cuts no character in two."""
    while start > 0 and _joined(text, start):
        start -= 1
    while end < len(text) and _joined(text, end):
        end += 1
    return start, end


def _joined(text: str, place: int) -> bool:
    """Whether text[place] belongs to the character before it: marks, joiners, skin tones, the second half of a flag, a
    letter after a virama, the rest of a Korean syllable.
    """
    before, sign = text[place - 1], text[place]
    if before == JOINER or sign == JOINER or "\U0001f3fb" <= sign <= "\U0001f3ff":
        return True
    if unicodedata.category(sign)[0] == "M" or "\U000e0020" <= sign <= "\U000e007f" or "\u1160" <= sign <= "\u11ff":
        return True
    if unicodedata.combining(before) == VIRAMA and unicodedata.category(sign) == "Lo":
        return True
    if not ("\U0001f1e6" <= sign <= "\U0001f1ff"):
        return False
    run = place
    while run > 0 and "\U0001f1e6" <= text[run - 1] <= "\U0001f1ff":
        run -= 1
    return (place - run) % 2 == 1
