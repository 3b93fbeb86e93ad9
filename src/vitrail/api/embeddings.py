"""The results of embedding."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64


@dataclass(frozen=True, kw_only=True, eq=False)
class Embeddings:
    """Vectors of texts, in the order of the texts, and an account of what was read of each.

    input_tokens counts what the text has (of a text that had to be bounded before the tokenizer, what its beginning
    has), used_tokens what the model saw; special tokens and prompt are in both.
    """

    vectors: Float32[np.ndarray, "texts dimensions"]
    input_tokens: Int64[np.ndarray, "texts"]
    used_tokens: Int64[np.ndarray, "texts"]
    truncated: Bool[np.ndarray, "texts"]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """One text's tokens: ids, vectors, the code points [start, end) each comes from, and which are special."""

    ids: Int64[np.ndarray, "tokens"]
    vectors: Float32[np.ndarray, "tokens hidden"]
    offsets: Int64[np.ndarray, "tokens 2"]
    special: Bool[np.ndarray, "tokens"]
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)
