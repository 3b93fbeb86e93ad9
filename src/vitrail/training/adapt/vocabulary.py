"""Which words become tokens: those that shatter, and those of a lexicon."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.errors import FileFormatError
from vitrail.tokenization import Tokenizer
from vitrail.training.adapt.config import VocabularyConfig
from vitrail.training.adapt.examination import Examination, pieces_of


@dataclass(frozen=True, kw_only=True)
class NewWord:
    """pieces: the ids it has been until now. origin: "text" or "lexicon". count: in the training text."""

    word: str
    pieces: tuple[int, ...]
    origin: str
    count: int


@dataclass(frozen=True, kw_only=True)
class NewWords:
    """lexicon: words it holds; known: those of them that were one token already."""

    words: tuple[NewWord, ...]
    lexicon: int
    known: int

    def facts(self) -> dict[str, Any]:
        listed = [each for each in self.words if each.origin == "lexicon"]
        return {
            "added": len(self.words),
            "from_text": len(self.words) - len(listed),
            "from_lexicon": len(listed),
            "lexicon_words": self.lexicon,
            "lexicon_words_that_were_tokens": self.known,
            "lexicon_words_added_but_not_in_the_text": sum(each.count == 0 for each in listed),
            "words": [{"word": each.word, "origin": each.origin, "count": each.count} for each in self.words],
        }


def choose_words(examination: Examination, config: VocabularyConfig, tokenizer: Tokenizer) -> NewWords:
    """The lexicon's words in its order, then the text's, those that cost most first."""
    counts = {each.word: each.count for each in examination.words}
    listed = [] if config.lexicon is None else read_lexicon(Path(config.lexicon), tokenizer)
    pieces = pieces_of(listed, tokenizer)
    lacking = [word for word in listed if len(pieces[word]) > 1 or tokenizer.unknown_id in pieces[word]]
    chosen = {
        word: NewWord(word=word, pieces=pieces[word], origin="lexicon", count=counts.get(word, 0)) for word in lacking
    }
    shattered = [
        NewWord(word=each.word, pieces=each.pieces, origin="text", count=each.count)
        for each in examination.words
        if each.count >= config.count
        and (each.unknown or len(each.pieces) >= config.pieces)
        and any(character.isalpha() for character in each.word)
        and each.word not in chosen
    ]
    chosen |= {each.word: each for each in shattered[: config.most]}
    return NewWords(words=tuple(chosen.values()), lexicon=len(listed), known=len(listed) - len(lacking))


def read_lexicon(path: Path, tokenizer: Tokenizer) -> list[str]:
    """The words of a file as the tokenizer sees them, each once: whatever stands between white space."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 ({error}). Save the lexicon as UTF-8.") from None
    # parted before it is normalised: there Chinese characters get spaces of their own
    words = dict.fromkeys("".join(tokenizer.normalized(word).split()) for word in text.split())
    found = [word for word in words if word]
    if not found:
        raise FileFormatError(f"the lexicon {path} has no words; it should have one a line")
    return found


def spelt(word: NewWord, tokenizer: Tokenizer) -> str:
    return " ".join(tokenizer.token(piece) for piece in word.pieces)


def added_to(tokenizer: Tokenizer, words: Sequence[NewWord]) -> Tokenizer:
    return tokenizer.with_words([each.word for each in words])
