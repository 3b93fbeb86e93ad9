"""How near an answer comes to the right ones, as the evaluation of SQuAD has it ([Rajpurkar 2016]).

Before they are compared, answers are lower-cased and lose punctuation, articles and surplus space. `character_f1` takes
every character of a script without spaces for a word, as the evaluation of MLQA does.

[Rajpurkar 2016]: https://arxiv.org/abs/1606.05250
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def normalized(text: str) -> str:
    kept = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(found: str, right: str) -> float:
    return float(normalized(found) == normalized(right))


def word_f1(found: str, right: str) -> float:
    """F1 of the words of two answers, as bags; an empty answer is like an empty one only."""
    return _bag_f1(normalized(found).split(), normalized(right).split())


def character_f1(found: str, right: str) -> float:
    """As `word_f1`, with every character of a script without spaces as a word."""
    return _bag_f1(_pieces(found), _pieces(right))


def best_over(measure: Callable[[str, str], float], found: str, right: Sequence[str]) -> float:
    return max(measure(found, each) for each in right)


def _bag_f1(found: Sequence[str], right: Sequence[str]) -> float:
    if not found or not right:
        return float(found == right)
    shared = sum((Counter(found) & Counter(right)).values())
    return 2 * shared / (len(found) + len(right))


def _pieces(text: str) -> list[str]:
    kept = "".join(" " if unicodedata.category(each).startswith("P") else each for each in text.lower())
    spaced = "".join(f" {each} " if _has_no_spaces(each) else each for each in _ARTICLES.sub(" ", kept))
    return spaced.split()


def _has_no_spaces(character: str) -> bool:
    """Whether its script is written without spaces: Chinese, Japanese, Thai."""
    return "\u0e00" <= character <= "\u0e7f" or "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff"
