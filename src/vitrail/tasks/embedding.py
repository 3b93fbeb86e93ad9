"""Texts to vectors whose cosine says how alike they are; trained on pairs that belong together, or on scored pairs.

    contrastive   cross-entropy of each text's partner among all partners (and hard negatives) of the window, over
                  cosine × scale ([Henderson 2017], InfoNCE); `symmetric` adds the same from the partner's side
    CoSENT        log(1 + Σ exp(scale (cos_j − cos_i))) over all pairs i, j where i should be more alike than j
                  (https://kexue.fm/archives/8847)

The rows choose: with a score it is CoSENT, without it contrastive. Both compare rows with each other.

[Henderson 2017]: https://arxiv.org/abs/1705.00652
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from vitrail.errors import InputError
from vitrail.layers.head import Head
from vitrail.layers.packing import Packing
from vitrail.layers.pooling import Pooling
from vitrail.models import EncoderModel
from vitrail.tasks.metrics import pearson, spearman
from vitrail.tasks.rows import encode_rows, value_of
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import Tokenizer

_RANKED_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions:
    """scale: what cosines are multiplied by, one over the temperature. symmetric: partners find their texts, too."""

    scale: float = 20.0
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale must be above 0, got {self.scale}")


@dataclass(frozen=True, kw_only=True, eq=False)
class TextVectors:
    """The vector of a text; of a pair, both, and their cosine."""

    vectors: Float32[np.ndarray, "texts dimensions"]
    similarity: float | None


class TextEmbedding(Task):
    """The encoder's own pooling is its head; the task has no parameters."""

    name = "embedding"
    kind = None
    roles = (
        Role(name="text", kind="text"),
        Role(name="text_pair", kind="text", target=True),
        Role(name="negative", kind="texts", required=False, target=True),
        Role(name="score", kind="number", required=False, target=True),
    )
    asks = ("text", "text_pair")
    Options = EmbeddingOptions
    couples_rows = True
    options: EmbeddingOptions

    def __init__(self, head: Head | None, *, labels: tuple[str, ...], options: Any):
        super().__init__(head, labels=labels, options=options)
        self.scored = False
        self._pooling: list[Pooling] = []  # in a list: it is the encoder's child, not ours

    def connect(self, model: EncoderModel, pooling: Pooling) -> None:
        self._pooling = [pooling]

    @property
    def metric_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the rows seen last: with scores, correlations; without, how high partners rank among all."""
        return ("spearman", "pearson") if self.scored else ("mrr", "accuracy")

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        texts = [self._texts(row, first_row + index) for index, row in enumerate(rows)]
        flat = [text for some in texts for text in some]
        numbers = [first_row + index for index, some in enumerate(texts) for _ in some]
        ids, _ = encode_rows(flat, tokenizer, max_length=max_length, numbers=numbers)
        scores = [row.get("score") for row in rows]
        if any(score is not None for score in scores):
            self.scored = True
            missing = [index for index, score in enumerate(scores) if not isinstance(score, int | float)]
            if missing:
                raise InputError(
                    f"has the score {scores[missing[0]]!r}; others have a number", row=first_row + missing[0]
                )
        found, start = [], 0
        for index, some in enumerate(texts):
            sequences = tuple(ids[start : start + len(some)])
            target = None if scores[index] is None else float(scores[index])  # type: ignore[arg-type]
            found.append(Example(sequences=sequences, target=target, row=first_row + index))
            start += len(some)
        return found

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]
    ) -> Float[Tensor, "sequences dimensions"]:
        return self._pooling[0](hidden, packing)

    def loss(self, outputs: Float[Tensor, "sequences dimensions"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        """Of a whole window: for each row a term that depends on all rows."""
        vectors = nn.functional.normalize(outputs.float(), dim=-1)
        anchors, partners, negatives = _places(examples)
        if examples[0].target is not None:
            return self._cosent((vectors[anchors] * vectors[partners]).sum(-1), examples)
        logits = self.options.scale * vectors[anchors] @ vectors[partners + negatives].T
        diagonal = torch.arange(len(anchors), device=logits.device)
        total = nn.functional.cross_entropy(logits, diagonal, reduction="sum")
        if not self.options.symmetric:
            return total
        back = nn.functional.cross_entropy(logits[:, : len(anchors)].T, diagonal, reduction="sum")
        return (total + back) / 2

    def decode(self, outputs: Float[Tensor, "sequences dimensions"], examples: Sequence[Example]) -> list[TextVectors]:
        vectors = outputs.detach().float().cpu().numpy()
        found, start = [], 0
        for example in examples:
            some = vectors[start : start + len(example.sequences)]
            found.append(TextVectors(vectors=some, similarity=_cosine(some[0], some[1]) if len(some) > 1 else None))
            start += len(some)
        return found

    def score(self, results: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        if examples and examples[0].target is not None:
            found = np.array([result.similarity for result in results], dtype=np.float64)
            wanted = np.array([example.target for example in examples], dtype=np.float64)
            return {"spearman": spearman(found, wanted), "pearson": pearson(found, wanted)}
        ranks = _ranks_of_partners(results)
        return {"mrr": float((1 / ranks).mean()), "accuracy": float((ranks == 1).mean())}

    def _texts(self, row: Mapping[str, Any], number: int) -> list[str]:
        texts = [value_of(row, "text", str, number=number)]
        if row.get("text_pair") is not None:
            texts.append(value_of(row, "text_pair", str, number=number))
        if row.get("negative") is not None:
            negatives = row["negative"]
            texts += (
                [negatives] if isinstance(negatives, str) else value_of(row, "negative", (list, tuple), number=number)
            )
        return texts

    def _cosent(self, cosines: Float[Tensor, " rows"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        """The logarithm of a sum over pairs of rows is one number a window; times its rows, it is one of units."""
        wanted = torch.tensor([example.target for example in examples], device=cosines.device)
        scaled = self.options.scale * cosines
        differences = (scaled[None, :] - scaled[:, None])[wanted[:, None] > wanted[None, :]]
        zero = differences.new_zeros(1)
        return torch.logsumexp(torch.cat([zero, differences]), dim=0) * len(examples)


def _places(examples: Sequence[Example]) -> tuple[list[int], list[int], list[int]]:
    """Where the anchors, their partners and the negatives stand among the sequences of the examples."""
    anchors: list[int] = []
    partners: list[int] = []
    negatives: list[int] = []
    start = 0
    for example in examples:
        if len(example.sequences) < 2:
            raise InputError("has no partner ('text_pair') to be compared with", row=example.row)
        anchors.append(start)
        partners.append(start + 1)
        negatives += range(start + 2, start + len(example.sequences))
        start += len(example.sequences)
    return anchors, partners, negatives


def _cosine(a: Float[np.ndarray, "_"], b: Float[np.ndarray, "_"]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    below = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / below if below else 0.0


def _ranks_of_partners(results: Sequence[TextVectors]) -> Float[np.ndarray, " rows"]:
    """Of each row's partner among the partners of all rows, by cosine; 1 is the first, equal ones count before it."""
    anchors, partners = (np.stack([result.vectors[place] for result in results]) for place in (0, 1))
    anchors, partners = (
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (anchors, partners)
    )
    ranks = []
    for start in range(0, len(results), _RANKED_AT_ONCE):
        cosines = anchors[start : start + _RANKED_AT_ONCE] @ partners.T
        own = cosines[np.arange(len(cosines)), start + np.arange(len(cosines))]
        ranks.append((cosines >= own[:, None]).sum(1))
    return np.concatenate(ranks).astype(np.float64)
