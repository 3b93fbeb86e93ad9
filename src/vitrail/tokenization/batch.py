"""What a tokenizer gives: one packed stream of ids, or one text with its offsets.

The idea: nothing is padded. Sequence `i` of a `TokenBatch` is `ids[boundaries[i]:boundaries[i + 1]]`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64


@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Many texts as one stream of tokens, with an account of what the model will see of each.

    A text is one sequence, or several when it was cut into windows; `text_index` leads back. A text whose very
    length had to be bounded (see `bounds.py`) counts the tokens of the part that was read, and is `truncated`.
    """

    ids: Int64[np.ndarray, "tokens"]
    boundaries: Int64[np.ndarray, "boundaries"]
    token_type_ids: Int64[np.ndarray, "tokens"] | None
    """None unless pairs were given."""
    text_index: Int64[np.ndarray, "sequences"]
    window_start: Int64[np.ndarray, "sequences"]
    """The content token of the text at which the window starts; special tokens and prompt are not content."""
    input_tokens: Int64[np.ndarray, "texts"]
    """Special tokens and prompt counted."""
    used_tokens: Int64[np.ndarray, "texts"]
    """Tokens the model sees, each counted once where windows overlap."""
    truncated: Bool[np.ndarray, "texts"]
    prompt_tokens: int
    """Leading tokens of every sequence that pooling leaves out with `include_prompt=False`; 0 without a prompt."""
    frame: tuple[int, int] = (0, 0)
    """Tokens that every window of a text repeats before (special tokens, prompt) and after its content."""


@dataclass(frozen=True, kw_only=True)
class TokenizedText:
    """One text with the place of every token in it. A character is a code point of the original `str`."""

    ids: Int64[np.ndarray, "tokens"]
    offsets: Int64[np.ndarray, "tokens 2"]
    """First character and the one after the last; (0, 0) for special tokens."""
    special: Bool[np.ndarray, "tokens"]
    words: Int64[np.ndarray, "tokens"]
    """The word a token belongs to, counted by the tokenizer's own splitting; -1 for special tokens."""
    windows: list[tuple[int, int]]
    """The content tokens (start, end) each sequence holds when the text is encoded the same way."""
    truncated: bool
