"""Bounded work on a text of any size: the tokenizer is given a beginning that is long enough, never the whole.

The idea: when only the first `limit` content tokens will be used, tokenising two megabytes to throw them away is a
way to stall a server. A text is therefore read in growing beginnings, until one holds `limit` tokens. Nearly always
a beginning ends at a boundary: white space after something else, of a kind at which this tokenizer (asked, not
assumed: `boundary_pattern`) starts a new word. Words are tokenised one by one, so what comes behind a boundary
cannot change the tokens before it, and the first `limit` tokens are those of the whole text.

Two cases have no such proof, and are cut hard. Where no boundary follows within a thousand characters (Chinese, a
megabyte of base64) the last word of the beginning may be cut; it lies behind the tokens that are used, unless it is
itself longer than all of them. And where `MOST_CHARACTERS` hold fewer than `limit` tokens (a hundred thousand
combining marks are one token), reading stops there. Either way the text is reported as truncated.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64
from tokenizers import Tokenizer as Backend

FIRST_CHARACTERS, FIRST_PER_TOKEN = 2**14, 6
MOST_CHARACTERS, MOST_PER_TOKEN = 2**17, 64
"""A beginning has FIRST_CHARACTERS (or FIRST_PER_TOKEN a token), then four times more, up to MOST_CHARACTERS."""

_BOUNDARY_REACH = 1024

Encode = Callable[[Sequence[str]], tuple[Int64[np.ndarray, "tokens"], Int64[np.ndarray, "texts"]]]
"""Texts to their content ids, one after the other, and the number of tokens of each."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Content tokens of many texts: text `i` is `pool[starts[i] : starts[i] + lengths[i]]`."""

    pool: Int64[np.ndarray, "tokens"]
    starts: Int64[np.ndarray, "texts"]
    lengths: Int64[np.ndarray, "texts"]
    beginnings: list[str]
    """What was given to the tokenizer: the text, or its beginning where `cut`."""
    cut: Bool[np.ndarray, "texts"]


def boundary_pattern(backend: Backend) -> re.Pattern[str] | None:
    """White space at which this tokenizer always starts a new word, preceded by something else; None if there is none.

    A tokenizer that splits words at spaces only (Metaspace) has no boundary at a line break.
    """
    found = [space for space in (" ", "\n") if _separates(backend, space)]
    return re.compile(rf"(?<=\S)[{''.join(found)}]") if found else None


def encode_bounded(
    texts: Sequence[str], *, encode: Encode, limit: int | None, boundary: re.Pattern[str] | None
) -> Contents:
    """Tokenise so much of each text as decides its first `limit` tokens (None: all of it)."""
    size = max(map(len, texts), default=0)
    most = size if limit is None else max(MOST_CHARACTERS, MOST_PER_TOKEN * limit)
    size = size if limit is None else max(FIRST_CHARACTERS, FIRST_PER_TOKEN * limit)
    beginnings = [_beginning(text, size, boundary) for text in texts]
    pool, lengths = encode(beginnings)
    starts = np.cumsum(lengths) - lengths
    cut = np.array([len(part) < len(text) for part, text in zip(beginnings, texts, strict=True)], dtype=np.bool_)
    while limit is not None and size < most and (unsure := np.flatnonzero(cut & (lengths < limit)).tolist()):
        size = min(4 * size, most)
        for text in unsure:
            beginnings[text] = _beginning(texts[text], size, boundary)
        more, counts = encode([beginnings[text] for text in unsure])
        starts[unsure] = len(pool) + np.cumsum(counts) - counts
        lengths[unsure] = counts
        cut[unsure] = [len(beginnings[text]) < len(texts[text]) for text in unsure]
        pool = np.concatenate([pool, more])
    return Contents(pool=pool, starts=starts, lengths=lengths, beginnings=beginnings, cut=cut)


def _beginning(text: str, size: int, boundary: re.Pattern[str] | None) -> str:
    if len(text) <= size:
        return text
    match = boundary.search(text, size, size + _BOUNDARY_REACH) if boundary else None
    return text[: match.start() if match else size]


def _separates(backend: Backend, space: str) -> bool:
    encoding = backend.encode(f"a{space}b", add_special_tokens=False)
    before, after = encoding.char_to_word(0), encoding.char_to_word(2)
    return before is not None and after is not None and before != after
