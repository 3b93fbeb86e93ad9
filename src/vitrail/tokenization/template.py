"""What stands around a text: `[CLS] text [SEP]`, `<s> first </s></s> second </s>`, or nothing.

The idea: a template is learned by encoding a word once and looking at which tokens came from no text. After that
texts are tokenised bare, and sequences are put together (or cut, or windowed) by one gather over a pool of ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from jaxtyping import Int64
from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from vitrail.errors import TokenizerError

_PROBES = ("a", "0", ".", "中")


@dataclass(frozen=True, kw_only=True)
class Template:
    """`pieces[0]` first text `pieces[1]` (second text `pieces[2]`): special ids, with the token types of all parts."""

    pieces: tuple[Int64[np.ndarray, "_"], ...]
    piece_types: tuple[Int64[np.ndarray, "_"], ...]
    text_types: tuple[int, ...]

    @property
    def num_special(self) -> int:
        return sum(map(len, self.pieces))


def learn_template(backend: Backend, *, pair: bool) -> Template:
    """Read the template of single texts, or of pairs, off an encoded probe."""
    encoding = _encoded_probe(backend, pair=pair)
    ids, types = np.array(encoding.ids, dtype=np.int64), np.array(encoding.type_ids, dtype=np.int64)
    sources = encoding.sequence_ids
    texts = (0, 1) if pair else (0,)
    edges = [0]
    for text in texts:
        edges += [sources.index(text), len(sources) - sources[::-1].index(text)]
    edges.append(len(ids))
    around = [slice(edges[i], edges[i + 1]) for i in range(0, len(edges), 2)]
    return Template(
        pieces=tuple(ids[part] for part in around),
        piece_types=tuple(types[part] for part in around),
        text_types=tuple(int(types[sources.index(text)]) for text in texts),
    )


def gather_ranges(
    starts: Int64[np.ndarray, "ranges"], lengths: Int64[np.ndarray, "ranges"]
) -> Int64[np.ndarray, "tokens"]:
    """The integers of every range `start, start + 1, …` (`length` of them), one range after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


def longest_first(
    first: Int64[np.ndarray, "texts"], second: Int64[np.ndarray, "texts"], *, room: int
) -> tuple[Int64[np.ndarray, "texts"], Int64[np.ndarray, "texts"]]:
    """How many tokens each text of a pair keeps so that both fit: the longer gives first, then both give alike.

    The odd token goes to the longer text, and to the second when they are equally long, as in the tokenizers library.
    """
    short, long = np.minimum(first, second), np.maximum(first, second)
    kept_long = np.where(short > room, short, np.minimum(long, np.maximum(short, room - short)))
    both = short + kept_long > room
    kept_short = np.where(both, room // 2, short)
    kept_long = np.where(both, room - room // 2, kept_long)
    swapped = first > second
    return np.where(swapped, kept_long, kept_short), np.where(swapped, kept_short, kept_long)


def _encoded_probe(backend: Backend, *, pair: bool) -> Encoding:
    for probe in chain(_PROBES, _words(backend)):
        encoding = backend.encode(probe, probe) if pair else backend.encode(probe)
        if 0 in encoding.sequence_ids:
            return encoding
    raise TokenizerError(
        "the tokenizer gives no token for any of its own words. Is its vocabulary that of another model?"
    )


def _words(backend: Backend) -> Iterator[str]:
    return islice(backend.get_vocab(with_added_tokens=False), 1000)
