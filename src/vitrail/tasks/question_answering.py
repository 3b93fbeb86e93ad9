"""The piece of a context that answers a question (extractive), or that there is none in it.

Question and context are read together; a long context in overlapping windows, each behind the question. The head gives
two logits a token, for the first and the last token of the answer; the first token of a window stands for "no answer".
The best span over all windows is the answer ([Devlin 2018], 4.2 and 4.3).

[Devlin 2018]: https://arxiv.org/abs/1810.04805
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vitrail.errors import InputError
from vitrail.families.heads import SPAN
from vitrail.layers.packing import Packing
from vitrail.models import EncoderSpec
from vitrail.tasks.answers import best_over, character_f1, exact_match, word_f1
from vitrail.tasks.rows import value_of, with_row_numbers
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import TokenizedText, Tokenizer, window_spans

Logits = Float[np.ndarray, "_ 2"]
# (score, first character, character after the last)
Found = tuple[float, int, int]


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringOptions:
    """no_answer: an empty answer is allowed, and given where its score exceeds that of the best span by `threshold`.
    max_answer_length: of a span, in tokens. stride: tokens of the context that neighbouring windows share.
    candidates: how many of the best spans the probability of an answer is taken among.
    """

    no_answer: bool = False
    threshold: float = 0.0
    max_answer_length: int = 30
    stride: int = 128
    candidates: int = 20

    def __post_init__(self) -> None:
        for name in ("max_answer_length", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.stride < 0:
            raise ValueError(f"stride must not be negative, got {self.stride}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """text is context[start:end], code points; all empty and 0 where there is no answer.

    score: its probability among the best candidates. no_answer_margin: by how much the logits of "no answer" exceed
    those of the best span: what `threshold` is compared with.
    """

    text: str
    start: int
    end: int
    score: float
    no_answer_margin: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """offsets: of the context's tokens. windows: which of them each sequence holds, from its token `leading` on."""

    context: str
    offsets: Int64[np.ndarray, "_ 2"]
    windows: tuple[tuple[int, int], ...]
    leading: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """spans: first and last token of the answer in each window, (0, 0) where it is not there. texts: all right ones."""

    spans: Int64[np.ndarray, "_ 2"]
    texts: tuple[str, ...]


class QuestionAnswering(Task):
    """Rows hold a question, a context and, to learn from, answers; an empty list of answers means there is none."""

    name = "question-answering"
    kind = SPAN
    roles = (
        Role(name="question", kind="text"),
        Role(name="context", kind="text"),
        Role(name="answers", kind="answers", target=True),
        Role(name="id", kind="text", required=False),
    )
    asks = ("question", "context")
    Options = QuestionAnsweringOptions
    metric_names = ("f1", "exact_match", "character_f1")
    options: QuestionAnsweringOptions

    @classmethod
    def num_outputs(cls, encoder_spec: EncoderSpec, labels: Sequence[str]) -> int:
        return 2

    def rows_of(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """A row {"question", "context"}, or a pair (question, context)."""
        return [
            dict(each) if isinstance(each, Mapping) else dict(zip(("question", "context"), each, strict=False))
            for each in inputs
        ]

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        numbers = range(first_row, first_row + len(rows))
        questions, contexts = (_read(rows, role, tokenizer, numbers) for role in ("question", "context"))
        return [
            self._example(row, question, context, tokenizer, max_length=max_length, number=number)
            for row, question, context, number in zip(rows, questions, contexts, numbers, strict=True)
        ]

    def units(self, example: Example) -> int:
        """Windows."""
        return len(example.sequences)

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]
    ) -> Float[Tensor, "tokens 2"]:
        assert self.head is not None
        return self.head(hidden)

    def loss(self, outputs: Float[Tensor, "tokens 2"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        """For each window the mean of the cross-entropies of first and last token, over the tokens of the window."""
        lengths = [len(sequence) for example in examples for sequence in example.sequences]
        spans = torch.from_numpy(np.concatenate([example.target.spans for example in examples])).to(outputs.device)
        windows = outputs.float().split(lengths)
        rectangle = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=float("-inf"))
        return nn.functional.cross_entropy(rectangle, spans, reduction="sum") / 2

    def decode(self, outputs: Float[Tensor, "tokens 2"], examples: Sequence[Example]) -> list[Answer]:
        logits = outputs.detach().double().cpu().numpy()
        found, start = [], 0
        for example in examples:
            found.append(self._answer(logits[start : start + example.tokens], example))
            start += example.tokens
        return found

    def score(self, results: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        """As SQuAD defines them: of the right answers the one that suits best counts."""
        pairs = [(result.text, example.target.texts) for result, example in zip(results, examples, strict=True)]
        measures = {"f1": word_f1, "exact_match": exact_match, "character_f1": character_f1}
        return {
            name: float(np.mean([best_over(measure, found, right) for found, right in pairs])) if pairs else 0.0
            for name, measure in measures.items()
        }

    def _example(
        self,
        row: Mapping[str, Any],
        question: TokenizedText,
        context: TokenizedText,
        tokenizer: Tokenizer,
        *,
        max_length: int | None,
        number: int,
    ) -> Example:
        template = tokenizer.pair_template
        before, between, after = template.pieces
        asked, content = question.ids[~question.special], context.ids[~context.special]
        windows = [(0, len(content))]
        if max_length is not None:
            room = max_length - template.num_special
            asked = asked[: room // 2]  # however long the question is, half of a window is context
            size = room - len(asked)
            windows = window_spans(len(content), size=size, stride=min(self.options.stride, size // 2))
        head = np.concatenate([before, asked, between])
        first, second = template.text_types
        head_types = np.concatenate(
            [template.piece_types[0], np.full(len(asked), first, dtype=np.int64), template.piece_types[1]]
        )
        place = _Place(
            context=row["context"],
            offsets=context.offsets[~context.special],
            windows=tuple(windows),
            leading=len(head),
        )
        return Example(
            sequences=tuple(np.concatenate([head, content[start:stop], after]) for start, stop in windows),
            token_type_ids=tuple(
                np.concatenate([head_types, np.full(stop - start, second, dtype=np.int64), template.piece_types[2]])
                for start, stop in windows
            ),
            target=None if row.get("answers") is None else _target(row["answers"], place, number=number),
            place=place,
            row=number,
        )

    def _answer(self, logits: Logits, example: Example) -> Answer:
        place, found, start = example.place, [], 0
        nothing = np.inf
        for sequence, (low, high) in zip(example.sequences, place.windows, strict=True):
            window = logits[start : start + len(sequence)]
            start += len(sequence)
            nothing = min(nothing, float(window[0].sum()))
            found += self._spans(window[place.leading : place.leading + high - low], place.offsets[low:high])
        distinct: dict[tuple[int, int], Found] = {}
        for span in sorted(found, key=lambda span: -span[0]):
            distinct.setdefault(span[1:], span)
        best = list(distinct.values())[: self.options.candidates]
        scores = np.array([score for score, _, _ in best] + ([nothing] if self.options.no_answer else []))
        margin = nothing - best[0][0] if best else np.inf
        empty = not best or (self.options.no_answer and margin > self.options.threshold)
        weights = np.exp(scores - scores.max()) if len(scores) else np.ones(1)
        probability = float(weights[-1 if empty else 0] / weights.sum())
        if empty:
            return Answer(text="", start=0, end=0, score=probability, no_answer_margin=float(margin))
        first, last = _trimmed(place.context, best[0][1], best[0][2])
        return Answer(
            text=place.context[first:last], start=first, end=last, score=probability, no_answer_margin=float(margin)
        )

    def _spans(self, logits: Logits, offsets: Int64[np.ndarray, "_ 2"]) -> list[Found]:
        """The best spans of one window, each with the sum of its two logits."""
        length, most = len(logits), self.options.max_answer_length
        if length == 0:
            return []
        ends = np.pad(logits[:, 1], (0, most - 1), constant_values=-np.inf)
        sums = logits[:, :1] + np.lib.stride_tricks.sliding_window_view(ends, most)
        wanted = min(self.options.candidates, sums.size)
        chosen = np.argpartition(-sums, wanted - 1, axis=None)[:wanted]
        firsts, more = np.divmod(chosen, most)
        spans = zip(firsts.tolist(), (firsts + more).tolist(), sums.ravel()[chosen].tolist(), strict=True)
        return [
            (score, int(offsets[first, 0]), int(offsets[last, 1])) for first, last, score in spans if np.isfinite(score)
        ]


def _read(rows: Sequence[Mapping[str, Any]], role: str, tokenizer: Tokenizer, numbers: range) -> list[TokenizedText]:
    texts = [value_of(row, role, str, number=number) for row, number in zip(rows, numbers, strict=True)]
    return with_row_numbers(lambda: tokenizer.tokens(texts, max_length=None), numbers=numbers)


def _target(answers: Any, place: _Place, *, number: int) -> _Target:
    """Where the first answer stands that is where it says."""
    if not isinstance(answers, list | tuple):
        raise InputError(f"has answers {answers!r:.60}, not a list of {{'text', 'start'}}", row=number)
    spans = np.zeros((len(place.windows), 2), dtype=np.int64)
    if not answers:
        return _Target(spans=spans, texts=("",))
    texts = tuple(str(answer["text"]) for answer in answers)
    standing = [
        answer
        for answer in answers
        if answer["text"] and place.context[answer["start"] : answer["start"] + len(answer["text"])] == answer["text"]
    ]
    if not standing:
        raise InputError(
            f"has the answer {texts[0]!r:.60}, which does not stand at character {answers[0]['start']} of its context",
            row=number,
        )
    start, stop = standing[0]["start"], standing[0]["start"] + len(standing[0]["text"])
    inside = np.flatnonzero((place.offsets[:, 1] > start) & (place.offsets[:, 0] < stop))
    if len(inside):
        for index, (low, high) in enumerate(place.windows):
            if low <= inside[0] and inside[-1] < high:
                spans[index] = place.leading - low + inside[[0, -1]]
    return _Target(spans=spans, texts=texts)


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Without the space at which some tokenizers let their tokens begin."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
