"""What may be asked of a tokenizer: texts that are texts, and lengths that leave room for some of them.

The idea: everything is refused here, before any work, with the row or the numbers that are wrong.
"""

from collections.abc import Sequence
from operator import index
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int64

from vitrail.errors import InputError, TextTooLong

Overlong = Literal["truncate", "error", "window"]


def check_texts(texts: object) -> bool:
    """Refuse what is no text, naming its row; whether the texts are pairs."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise TypeError(f"texts is {type(texts).__name__}, not a sequence of texts: put a single text into a list")
    pairs = bool(texts) and not isinstance(texts[0], str) and isinstance(texts[0], (tuple, list))
    for row, text in enumerate(texts):
        if pairs and not (isinstance(text, (tuple, list)) and len(text) == 2):
            raise InputError(f"{_named(text)} among pairs of texts. Give two texts in every row, or one.", row=row)
        for part in text if pairs else (text,):
            if wrong := flaw(part):
                raise InputError(wrong, row=row)
    return pairs


def flaw(text: object) -> str | None:
    """Why this cannot be tokenised; None if it can."""
    if not isinstance(text, str):
        return f"{_named(text)}, not a text. Leave the row out, or convert it to str."
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        return (
            f"holds a lone surrogate (U+{ord(text[error.start]):04X} at character {error.start}), which no text has. "
            'Decode the source again with errors="replace".'
        )
    return None


def _named(value: object) -> str:
    return f"{type(value).__name__} {value!r:.40}"


def content_room(max_length: int | None, *, special: int, overlong: str, stride: int, pairs: bool) -> int | None:
    """How many content tokens fit, after a check of the arguments."""
    if overlong not in get_args(Overlong):
        raise ValueError(f"overlong is {overlong!r}; choose one of {', '.join(get_args(Overlong))}")
    if stride and overlong != "window":
        raise ValueError(f'stride {stride} has no meaning with overlong="{overlong}": pass overlong="window", or 0')
    if pairs and overlong == "window":
        raise ValueError('pairs of texts have no windows: cut the longer text yourself, or pass overlong="truncate"')
    if max_length is None:
        return None
    if index(max_length) <= special:
        raise ValueError(f"max_length {max_length} leaves no room beside {special} special tokens. Raise it.")
    return index(max_length) - special


def check_stride(stride: int, size: int) -> None:
    """Windows of `size` content tokens that overlap by `stride` must advance."""
    if not 0 <= stride < size:
        raise ValueError(
            f"stride {stride} is not between 0 and {size - 1}: windows hold {size} content tokens and overlap by "
            "stride, so they would not advance. Lower stride or raise max_length."
        )


def refuse_truncated(
    truncated: Bool[np.ndarray, "texts"], tokens: Int64[np.ndarray, "texts"], max_length: int | None
) -> None:
    """Raise `TextTooLong` for the first row that would not be seen whole."""
    if (rows := np.flatnonzero(truncated)).size:
        row = int(rows[0])
        raise TextTooLong(
            f"the text has {tokens[row]} tokens or more, the limit is {max_length}. Shorten it, or allow "
            'overlong="truncate" or "window".',
            row=row,
        )
