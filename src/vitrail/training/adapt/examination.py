"""How far the words of a domain shatter: into how many pieces the tokenizer breaks them, and which most often.

A word is a run of letters, marks and digits of the normalised text. In scripts without spaces such a run is a clause,
so what holds their characters is not counted among the words; a lexicon knows words there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrail.tokenization import Tokenizer
from vitrail.tokenization.words import words_of
from vitrail.training.doctor.sizes import UNSPACED

SHOWN = 20
_BEFORE = "a "
"""What a word is tokenised behind: where spaces belong to words, a word has one before it."""
_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Word:
    """count: in the text. pieces: ids the tokenizer makes of it. unknown: one of them is the unknown token."""

    word: str
    count: int
    pieces: tuple[int, ...]
    unknown: bool

    @property
    def cost(self) -> int:
        """Pieces that would be saved if the word were one token."""
        return self.count * (len(self.pieces) - 1)


@dataclass(frozen=True, kw_only=True)
class Examination:
    """words: every different one, those that cost most first. skipped: runs in scripts without spaces."""

    words: tuple[Word, ...]
    skipped: int

    @property
    def running(self) -> int:
        return sum(word.count for word in self.words)

    @property
    def pieces_per_word(self) -> float:
        return sum(word.count * len(word.pieces) for word in self.words) / max(self.running, 1)

    def share(self, pieces: int) -> float:
        """Of the running words, those of so many pieces or more."""
        return sum(word.count for word in self.words if len(word.pieces) >= pieces) / max(self.running, 1)

    @property
    def unknown_share(self) -> float:
        return sum(word.count for word in self.words if word.unknown) / max(self.running, 1)

    def facts(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """For JSON, with the words that cost most spelt in their pieces."""
        return {
            "running_words": self.running,
            "different_words": len(self.words),
            "pieces_per_word": round(self.pieces_per_word, 4),
            "share_of_two_pieces_or_more": round(self.share(2), 4),
            "share_of_three_pieces_or_more": round(self.share(3), 4),
            "share_unknown": round(self.unknown_share, 4),
            "runs_without_spaces": self.skipped,
            "most_shattered": [
                {
                    "word": word.word,
                    "count": word.count,
                    "pieces": [tokenizer.token(piece) for piece in word.pieces],
                }
                for word in self.words[:SHOWN]
                if word.cost or word.unknown
            ],
        }


def examine_words(texts: Iterable[str], tokenizer: Tokenizer) -> Examination:
    """Every word of the texts with its pieces."""
    counts: Counter[str] = Counter()
    skipped = 0
    for text in texts:
        for word in words_of(tokenizer.normalized(text)):
            if UNSPACED.search(word):
                skipped += 1
            else:
                counts[word] += 1
    return Examination(words=tuple(sorted(counted(counts, tokenizer), key=_costly)), skipped=skipped)


def counted(counts: Mapping[str, int], tokenizer: Tokenizer) -> list[Word]:
    """The words of `counts` with their pieces."""
    return [
        Word(word=word, count=counts[word], pieces=pieces, unknown=tokenizer.unknown_id in pieces)
        for word, pieces in pieces_of(list(counts), tokenizer).items()
    ]


def pieces_of(words: Sequence[str], tokenizer: Tokenizer) -> dict[str, tuple[int, ...]]:
    """The ids of each word behind another word."""
    found = {}
    for start in range(0, len(words), _AT_ONCE):
        some = words[start : start + _AT_ONCE]
        for word, text in zip(some, tokenizer.tokens([_BEFORE + word for word in some], max_length=None), strict=True):
            own = ~text.special & (text.offsets[:, 1] > len(_BEFORE))
            found[word] = tuple(np.asarray(text.ids)[own].tolist())
    return found


def _costly(word: Word) -> tuple[int, bool, int, str]:
    return -word.cost, not word.unknown, -word.count, word.word
