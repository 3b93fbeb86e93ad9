"""Words of a text, and words made tokens.

The idea: a new word is an added token that matches whole words only, after normalisation and before words are split
into pieces. So no other word is split otherwise than before, which an entry in a WordPiece vocabulary (`troponin`, met
in `troponins`) would not promise.
"""

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import AddedToken, Regex, pre_tokenizers
from tokenizers import Tokenizer as Backend

from vitrail.tokenization.folder import TokenizerFiles

_WORDS = pre_tokenizers.Split(Regex(r"[\p{L}\p{M}\p{N}]+"), behavior="removed", invert=True)
_DROP_SPACES = ("WordPiece", "WordLevel")


def words_of(text: str) -> list[str]:
    """The runs of letters, marks and digits."""
    return [word for word, _ in _WORDS.pre_tokenize_str(text)]


def with_words(files: TokenizerFiles, words: Sequence[str]) -> TokenizerFiles:
    """A copy of the tokenizer in which each of `words` is one token, numbered behind all others, in their order."""
    backend = Backend.from_str(files.backend.to_str())
    # elsewhere the space before a word is part of it
    joined = type(backend.model).__name__ not in _DROP_SPACES
    backend.add_tokens([AddedToken(word, single_word=True, normalized=True, lstrip=joined) for word in words])
    return replace(files, backend=backend)
