"""nanotoken, where it is right: ids of WordPiece many times faster, or the reason why not.

The idea: nanotoken is young, so it is believed for a tokenizer only after it gave the ids of the `tokenizers` library
on the whole hard corpus. The check takes some hundredths of a second and is made once per tokenizer and process.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer as Backend

from vitrail.tokenization.bounds import Encode
from vitrail.tokenization.hard_corpus import hard_corpus

_verdicts: dict[str, str] = {}
"""sha256 of a tokenizer's definition to the reason why nanotoken may not run it; empty where it may."""


class FastRefused(Exception):
    """Why nanotoken is not used for a tokenizer; caught by `Tokenizer`, which falls back or raises."""


def fast_encode(backend: Backend) -> tuple[Encode, str]:
    """An encode function that gives the ids of `backend`, and the name and version of what runs it."""
    if (model := type(backend.model).__name__) != "WordPiece":
        raise FastRefused(f"nanotoken runs WordPiece only, this is {model}")
    try:
        import nanotoken
    except ImportError:
        raise FastRefused("nanotoken is not installed: pip install 'vitrail[fast]'") from None
    name = f"nanotoken {_version()}"
    definition = backend.to_str()
    try:
        engine = nanotoken.Tokenizer.from_json(definition)
    except ValueError as error:
        raise FastRefused(f"{name} does not support this tokenizer: {error}") from None

    def encode(texts: Sequence[str]) -> tuple[Int64[np.ndarray, "tokens"], Int64[np.ndarray, "texts"]]:
        batch = engine.encode_batch(texts, add_special_tokens=False)
        return batch.ids.astype(np.int64), np.diff(batch.offsets)

    fingerprint = hashlib.sha256(definition.encode()).hexdigest()
    if fingerprint not in _verdicts:
        _verdicts[fingerprint] = _first_difference(encode, backend)
    if _verdicts[fingerprint]:
        raise FastRefused(f"{name} gives other ids, {_verdicts[fingerprint]}")
    return encode, name


def _first_difference(encode: Encode, backend: Backend) -> str:
    special_tokens = [token.content for token in backend.get_added_tokens_decoder().values()]
    texts = hard_corpus(special_tokens[:20])
    ids, lengths = encode(texts)
    ends = np.cumsum(lengths)
    for text, encoding, end, length in zip(
        texts, backend.encode_batch_fast(texts, add_special_tokens=False), ends, lengths, strict=True
    ):
        if encoding.ids != ids[end - length : end].tolist():
            return f"first for {text[:40]!a}"
    return ""


def _version() -> str:
    from importlib.metadata import version

    return version("nanotoken")
