"""A label for every word, and the spans that the labels make: names in a text, say.

The first token of a word carries its label. Words are those of the row (`tokens`, joined by spaces), or, of running
text, those the tokenizer splits. Long texts are read in windows; a word is judged where most of its context is seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vitrail.errors import InputError
from vitrail.families.heads import TOKENS
from vitrail.layers.head import Head
from vitrail.layers.packing import Packing
from vitrail.tasks.rows import label_index, value_of, with_row_numbers
from vitrail.tasks.tag_sequences import best_sequence, refuse_partial
from vitrail.tasks.tags import OUTSIDE, TagSpan, learned_scheme, spans_of, tags_of
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import TokenizedText, Tokenizer

Offsets = Int64[np.ndarray, "_ 2"]
# Tokens shared by neighbouring windows, as a share of a window.
_STRIDE_SHARE = 4


@dataclass(frozen=True, kw_only=True)
class TokenClassificationOptions:
    """label_smoothing: this much of the target is spread over all labels.
    constrained: the most probable whole sequence of tags that the scheme allows (tag_sequences.py), in place of each
        word's own most probable tag, which is what transformers takes.
    """

    label_smoothing: float = 0.0
    constrained: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A labelled piece of a text: characters start … end - 1 (code points), words first … last - 1.

    score: the mean, over its words, of the probability of their tag.
    """

    label: str
    text: str
    start: int
    end: int
    first: int
    last: int
    score: float


@dataclass(frozen=True, kw_only=True)
class TaggedText:
    """words: where each word stands in the text. tags: one for each of them, "O" where the model saw no token of it."""

    text: str
    words: tuple[tuple[int, int], ...]
    tags: tuple[str, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """known: the words that have a token; tokens: where the first one of each stands among the example's tokens."""

    text: str
    words: Offsets
    known: Int64[np.ndarray, "_"]
    tokens: Int64[np.ndarray, "_"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """labels: of the known words. tags: of all words, in the scheme the model learns."""

    labels: Int64[np.ndarray, "_"]
    tags: tuple[str, ...]


class TokenClassification(Task):
    """Labels of words; rows may be in any scheme of `tags`, as long as it is one."""

    name = "token-classification"
    kind = TOKENS
    roles = (Role(name="tokens", kind="tokens"), Role(name="tags", kind="tags", target=True))
    asks = ("text", "tokens")
    labelled = True
    Options = TokenClassificationOptions
    metric_names = ("f1", "precision", "recall", "accuracy")
    options: TokenClassificationOptions

    def __init__(self, head: Head | None, *, labels: tuple[str, ...], options: TokenClassificationOptions):
        super().__init__(head, labels=labels, options=options)
        if options.constrained:
            refuse_partial(labels, scheme=self.scheme)

    @property
    def scheme(self) -> str:
        """The scheme in which the labels tag."""
        return learned_scheme(self.labels)

    def rows_of(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """A text, or its words."""
        rows = [dict(each) if isinstance(each, Mapping) else {"text": each} for each in inputs]
        return [{"tokens": row["text"]} if isinstance(row.get("text"), list | tuple) else row for row in rows]

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        numbers = range(first_row, first_row + len(rows))
        pairs = list(zip(rows, numbers, strict=True))
        words = [None if row.get("tokens") is None else _words(row, number=number) for row, number in pairs]
        texts = [
            value_of(row, "text", str, number=number) if some is None else " ".join(some)
            for (row, number), some in zip(pairs, words, strict=True)
        ]
        stride = 0 if max_length is None else (max_length - tokenizer.num_special()) // _STRIDE_SHARE
        read = with_row_numbers(
            lambda: tokenizer.tokens(texts, max_length=max_length, overlong="window", stride=stride), numbers=numbers
        )
        found = []
        for (row, number), some, text, tokens in zip(pairs, words, texts, read, strict=True):
            sequences, starts = _windows(tokens)
            offsets = _split_words(tokens) if some is None else _joined_words(some)
            known, places = _first_tokens(tokens, offsets, starts)
            place = _Place(text=text, words=offsets, known=known, tokens=places)
            target = None if row.get("tags") is None or some is None else self._target(row, place, number=number)
            found.append(Example(sequences=sequences, place=place, target=target, row=number))
        return found

    def units(self, example: Example) -> int:
        """Words that the model sees."""
        return len(example.place.known)

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]
    ) -> Float[Tensor, "words labels"]:
        """Logits of the known words alone."""
        assert self.head is not None
        ends = np.cumsum([example.tokens for example in examples])
        starts = [0, *ends[:-1].tolist()]
        places = [example.place.tokens + start for example, start in zip(examples, starts, strict=True)]
        index = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *places])).to(hidden.device)
        return self.head(hidden[index])

    def loss(self, outputs: Float[Tensor, "words labels"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        labels = np.concatenate([np.empty(0, dtype=np.int64), *(example.target.labels for example in examples)])
        targets = torch.from_numpy(labels).to(outputs.device)
        smoothing = self.options.label_smoothing
        return nn.functional.cross_entropy(outputs.float(), targets, reduction="sum", label_smoothing=smoothing)

    def decode(self, outputs: Float[Tensor, "words labels"], examples: Sequence[Example]) -> list[TaggedText]:
        log_probabilities = outputs.detach().double().log_softmax(-1).cpu().numpy()
        found, start = [], 0
        for example in examples:
            stop = start + self.units(example)
            of_words = log_probabilities[start:stop]
            chosen = self._sequence(example.place, of_words) if self.options.constrained else of_words.argmax(1)
            scores = np.exp(np.take_along_axis(of_words, chosen[:, None], 1)[:, 0])
            found.append(self._tagged(example.place, chosen, scores))
            start = stop
        return found

    def _sequence(
        self, place: _Place, log_probabilities: Float[np.ndarray, "known labels"]
    ) -> Int64[np.ndarray, "known"]:
        """The labels of the known words; those between them, which the model did not see, are outside."""
        outside = np.array([label == OUTSIDE for label in self.labels])
        unseen = np.where(outside, 0.0, -np.inf) if outside.any() else np.zeros(len(self.labels))
        whole = np.tile(unseen, (len(place.words), 1))
        whole[place.known] = log_probabilities
        return best_sequence(whole, self.labels, scheme=self.scheme)[place.known]

    def score(self, results: Sequence[TaggedText], examples: Sequence[Example]) -> dict[str, float]:
        """Spans count when label and both ends are right, all rows together (micro), as seqeval has it."""
        right = found = wanted = words = same = 0
        scheme = self.scheme
        for result, example in zip(results, examples, strict=True):
            ours = {(span.label, span.first, span.last) for span in result.spans}
            theirs = set(spans_of(example.target.tags, scheme=scheme))
            right, found, wanted = right + len(ours & theirs), found + len(ours), wanted + len(theirs)
            words += len(result.tags)
            same += sum(a == b for a, b in zip(result.tags, example.target.tags, strict=True))
        return {
            "f1": 2 * right / (found + wanted) if found + wanted else 0.0,
            "precision": right / found if found else 0.0,
            "recall": right / wanted if wanted else 0.0,
            "accuracy": same / words if words else 0.0,
        }

    def _target(self, row: Mapping[str, Any], place: _Place, *, number: int) -> _Target:
        tags = value_of(row, "tags", (list, tuple), number=number)
        if len(tags) != len(place.words):
            raise InputError(f"has {len(place.words)} tokens and {len(tags)} tags; each needs one", row=number)
        scheme = self.scheme
        tags = tags_of(spans_of(tags, scheme=scheme), len(tags), scheme=scheme)
        labels = [label_index(self.labels, tags[word], number=number) for word in place.known]
        return _Target(labels=np.array(labels, dtype=np.int64), tags=tuple(tags))

    def _tagged(
        self, place: _Place, chosen: Int64[np.ndarray, "known"], scores: Float[np.ndarray, "known"]
    ) -> TaggedText:
        tags = [OUTSIDE] * len(place.words)
        probabilities = np.zeros(len(place.words))
        probabilities[place.known] = scores
        for word, label in zip(place.known.tolist(), chosen.tolist(), strict=True):
            tags[word] = self.labels[label]
        words = place.words.tolist()
        spans = tuple(
            _span(span, place.text, words, score=float(probabilities[span[1] : span[2]].mean()))
            for span in spans_of(tags, scheme=self.scheme)
        )
        return TaggedText(text=place.text, words=tuple((a, b) for a, b in words), tags=tuple(tags), spans=spans)


def _span(span: TagSpan, text: str, words: list[list[int]], *, score: float) -> Span:
    label, first, last = span
    start, end = words[first][0], words[last - 1][1]
    return Span(label=label, text=text[start:end], start=start, end=end, first=first, last=last, score=score)


def _words(row: Mapping[str, Any], *, number: int) -> list[str]:
    words = value_of(row, "tokens", (list, tuple), number=number)
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise InputError(f"has the token {wrong[0]!r:.40}, which is not a str", row=number)
    return list(words)


def _joined_words(words: list[str]) -> Offsets:
    """Where words stand that are joined by spaces."""
    ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64) - 1
    starts = ends - np.array([len(word) for word in words], dtype=np.int64)
    return np.stack([starts, ends], axis=1).astype(np.int64).reshape(-1, 2)


def _split_words(tokens: TokenizedText) -> Offsets:
    """Where the tokenizer's own words stand."""
    offsets, words = tokens.offsets[~tokens.special], tokens.words[~tokens.special]
    if not len(words):
        return np.empty((0, 2), dtype=np.int64)
    edges = np.flatnonzero(np.diff(words, prepend=-1))
    ends = np.append(edges[1:], len(words)) - 1
    return np.stack([offsets[edges, 0], offsets[ends, 1]], axis=1).astype(np.int64).reshape(-1, 2)


def _windows(tokens: TokenizedText) -> tuple[tuple[Int64[np.ndarray, "_"], ...], Int64[np.ndarray, "_"]]:
    """(the ids of each window, where each content token stands among the tokens of all of them)."""
    leading = int(np.argmin(tokens.special)) if not tokens.special.all() else 0
    kept = int((~tokens.special).sum())
    if len(tokens.windows) == 1:
        return (tokens.ids,), leading + np.arange(kept)
    before, content, after = np.split(tokens.ids, [leading, leading + kept])
    sequences = tuple(np.concatenate([before, content[start:stop], after]) for start, stop in tokens.windows)
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences[:-1])])
    meeting = [(later[0] + earlier[1]) // 2 for earlier, later in zip(tokens.windows, tokens.windows[1:], strict=False)]
    places = [
        offset + leading + np.arange(low, high) - start
        for offset, (start, _), low, high in zip(offsets, tokens.windows, [0, *meeting], [*meeting, kept], strict=True)
    ]
    return sequences, np.concatenate(places)


def _first_tokens(
    tokens: TokenizedText, words: Offsets, places: Int64[np.ndarray, "_"]
) -> tuple[Int64[np.ndarray, "_"], Int64[np.ndarray, "_"]]:
    """(the words that have a token, where the first token of each stands): `places` says it of every content token."""
    offsets = tokens.offsets[~tokens.special]
    if not len(words) or not len(offsets):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    last = offsets[:, 1] - 1  # a token may begin with the space before its word
    owner = np.searchsorted(words[:, 0], last, side="right") - 1
    inside = (offsets[:, 1] > offsets[:, 0]) & (owner >= 0) & (last < words[np.maximum(owner, 0), 1])
    known, first = np.unique(owner[inside], return_index=True)
    return known, places[np.flatnonzero(inside)[first]]
