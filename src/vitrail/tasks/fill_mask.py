"""The tokens that stood where the mask token stands: how encoders learn a language, and what they are asked to guess.

Each epoch hides other tokens. Of those chosen 80 % become the mask token, 10 % another token, 10 % stay ([Devlin 2018],
3.1); the head runs at the chosen places alone.

[Devlin 2018]: https://arxiv.org/abs/1810.04805
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vitrail.errors import InputError, TokenizerError
from vitrail.families.heads import MASKED
from vitrail.layers.packing import Packing
from vitrail.models import EncoderSpec
from vitrail.tasks.rows import texts_of, warn_of_cuts, with_row_numbers
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import Tokenizer

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


@dataclass(frozen=True, kw_only=True)
class FillMaskOptions:
    """rate: the share of tokens that is hidden. always_mask: all of them become the mask token, instead of 80 %.
    whole_words: tokens of one word are hidden together. candidates: how many a prediction lists.
    """

    rate: float = 0.15
    always_mask: bool = False
    whole_words: bool = False
    candidates: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, got {self.rate}")
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    token: str
    id: int
    score: float


@dataclass(frozen=True, kw_only=True)
class FilledMask:
    """masks: for each mask of the text in turn, what most probably stood there, the most probable first.

    Where the answers were known: how many of the first candidates are right, and the logarithms of the probabilities
    of the right ones, summed.
    """

    masks: tuple[tuple[Candidate, ...], ...]
    hits: int | None = None
    log_likelihood: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """masked: the places whose tokens are asked for. words: the word of every token, -1 for special ones."""

    masked: Int64[np.ndarray, "_"]
    words: Int64[np.ndarray, "_"]
    mask_id: int
    tokenizer: Tokenizer


class FillMask(Task):
    """Guess hidden tokens. A row whose text holds the mask token is a question; any other is material to hide from."""

    name = "fill-mask"
    kind = MASKED
    roles = (Role(name="text", kind="text"),)
    asks = ("text",)
    Options = FillMaskOptions
    metric_names = ("accuracy", "log_likelihood")
    options: FillMaskOptions

    @classmethod
    def num_outputs(cls, encoder_spec: EncoderSpec, labels: Sequence[str]) -> int:
        return encoder_spec.vocab_size

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        numbers = range(first_row, first_row + len(rows))
        if tokenizer.mask_id is None:
            raise TokenizerError("the tokenizer has no mask token, so nothing can be masked with it")
        mask_id = tokenizer.mask_id
        texts = texts_of(rows, "text", None, first_row=first_row)
        read = with_row_numbers(lambda: tokenizer.tokens(texts, max_length=max_length), numbers=numbers)
        warn_of_cuts(np.array([text.truncated for text in read], dtype=np.bool_), max_length)
        return [
            Example(
                sequences=(text.ids,),
                place=_Place(
                    masked=np.flatnonzero(text.ids == mask_id),
                    words=np.where(text.special, -1, text.words),
                    mask_id=mask_id,
                    tokenizer=tokenizer,
                ),
                row=number,
            )
            for number, text in zip(numbers, read, strict=True)
        ]

    def draw(self, example: Example, generator: np.random.Generator) -> Example:
        """The example with some of its tokens hidden, at least one where it has any."""
        ids, place = example.sequences[0].copy(), example.place
        chosen = self._chosen(place.words, generator)
        target = ids[chosen]
        dice = np.zeros(len(chosen)) if self.options.always_mask else generator.random(len(chosen))
        ids[chosen[dice < MASK_SHARE]] = place.mask_id
        other = chosen[(dice >= MASK_SHARE) & (dice < MASK_SHARE + RANDOM_SHARE)]
        ids[other] = generator.integers(place.tokenizer.vocab_size, size=len(other))
        return replace(example, sequences=(ids,), target=target, place=replace(place, masked=chosen))

    def units(self, example: Example) -> int:
        """Hidden tokens."""
        return len(example.place.masked)

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]
    ) -> Float[Tensor, "masked vocabulary"]:
        assert self.head is not None
        starts = np.cumsum([0, *(example.tokens for example in examples[:-1])])
        places = [example.place.masked + start for example, start in zip(examples, starts, strict=False)]
        index = np.concatenate([np.empty(0, dtype=np.int64), *places])
        return self.head(hidden[torch.from_numpy(index).to(hidden.device)])

    def loss(self, outputs: Float[Tensor, "masked vocabulary"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        for example in examples:
            if example.target is None:
                raise InputError("has no hidden tokens to learn from; draw the example first", row=example.row)
        targets = torch.from_numpy(np.concatenate([example.target for example in examples])).to(outputs.device)
        return nn.functional.cross_entropy(outputs.float(), targets, reduction="sum")

    def decode(self, outputs: Float[Tensor, "masked vocabulary"], examples: Sequence[Example]) -> list[FilledMask]:
        log_probabilities = outputs.detach().float().log_softmax(-1)
        best = log_probabilities.topk(min(self.options.candidates, outputs.shape[-1]), dim=-1)
        ids, scores = best.indices.cpu().numpy(), best.values.exp().cpu().numpy()
        found, start = [], 0
        for example in examples:
            own = slice(start, start + self.units(example))
            start = own.stop
            masks = tuple(
                tuple(
                    Candidate(token=example.place.tokenizer.token(token), id=token, score=score)
                    for token, score in zip(some.tolist(), numbers.tolist(), strict=True)
                )
                for some, numbers in zip(ids[own], scores[own], strict=True)
            )
            found.append(FilledMask(masks=masks))
            if example.target is not None:
                right = torch.from_numpy(example.target).to(outputs.device)
                likelihood = log_probabilities[own].gather(1, right.unsqueeze(1)).sum()
                hits = int((ids[own, 0] == example.target).sum())
                found[-1] = replace(found[-1], hits=hits, log_likelihood=float(likelihood))
        return found

    def score(self, results: Sequence[FilledMask], examples: Sequence[Example]) -> dict[str, float]:
        """Means over all hidden tokens; e to the minus log_likelihood is the perplexity."""
        hidden = sum(self.units(example) for example in examples)
        if any(result.hits is None or result.log_likelihood is None for result in results) or not hidden:
            raise ValueError("nothing was hidden in these examples; draw them first")
        return {
            "accuracy": sum(result.hits or 0 for result in results) / hidden,
            "log_likelihood": sum(result.log_likelihood or 0.0 for result in results) / hidden,
        }

    def _chosen(self, words: Int64[np.ndarray, "tokens"], generator: np.random.Generator) -> Int64[np.ndarray, "_"]:
        """The places to hide, in their order."""
        groups = words if self.options.whole_words else np.where(words < 0, -1, np.arange(len(words)))
        there = np.unique(groups[groups >= 0])
        count = min(len(there), max(1, round(self.options.rate * len(there))))
        return np.flatnonzero(np.isin(groups, generator.choice(there, count, replace=False)))
