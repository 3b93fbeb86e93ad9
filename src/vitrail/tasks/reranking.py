"""How well a document answers a query, both read together: one logit for the pair (a "cross-encoder")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.errors import InputError
from vitrail.families.heads import SEQUENCE
from vitrail.layers.packing import Packing
from vitrail.models import EncoderSpec
from vitrail.tasks.rows import encode_rows, value_of
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import Tokenizer

DEPTH = 10
ACTIVATIONS = ("sigmoid", "identity")


@dataclass(frozen=True, kw_only=True)
class RerankingOptions:
    """activation: "sigmoid" gives scores between 0 and 1, "identity" the logits themselves. It keeps the order.
    highest_label: what a perfect document is labelled; labels are divided by it.
    """

    activation: str = "sigmoid"
    highest_label: float = 1.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r}: choose among {', '.join(ACTIVATIONS)}")
        if self.highest_label <= 0:
            raise ValueError(f"highest_label must be above 0, got {self.highest_label}")


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """The score of one document."""

    score: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The places of the documents, the best first, and their scores in that order."""

    order: tuple[int, ...]
    scores: tuple[float, ...]


class Reranking(Task):
    """Rows hold a query with one `document`, or, for a prediction, with several `documents`."""

    name = "reranking"
    kind = SEQUENCE
    roles = (
        Role(name="query", kind="text"),
        Role(name="document", kind="text"),
        Role(name="label", kind="number", target=True),
    )
    asks = ("query", "document", "documents")
    Options = RerankingOptions
    metric_names = (f"ndcg@{DEPTH}", f"mrr@{DEPTH}", "accuracy")
    options: RerankingOptions

    @classmethod
    def num_outputs(cls, encoder_spec: EncoderSpec, labels: Sequence[str]) -> int:
        return 1

    def rows_of(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """A pair (query, document), or a row {"query", "document"} or {"query", "documents"}."""
        return [
            dict(each) if isinstance(each, Mapping) else dict(zip(("query", "document"), each, strict=False))
            for each in inputs
        ]

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        pairs, numbers, counts = [], [], []
        for number, row in enumerate(rows, first_row):
            query, documents = value_of(row, "query", str, number=number), _documents(row, number=number)
            pairs += [(query, document) for document in documents]
            numbers += [number] * len(documents)
            counts.append(len(documents))
        ids, types = encode_rows(pairs, tokenizer, max_length=max_length, numbers=numbers)
        found, start = [], 0
        for number, (row, count) in enumerate(zip(rows, counts, strict=True), first_row):
            own = slice(start, start + count)
            found.append(
                Example(
                    sequences=tuple(ids[own]),
                    token_type_ids=None if types is None else tuple(types[own]),
                    target=self._target(row.get("label"), number),
                    place=(row["query"], "documents" in row),
                    row=number,
                )
            )
            start += count
        return found

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]
    ) -> Float[Tensor, "sequences 1"]:
        assert self.head is not None
        return self.head(hidden, packing)

    def loss(self, outputs: Float[Tensor, "sequences 1"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        """Binary cross-entropy."""
        targets = torch.tensor([example.target for example in examples], device=outputs.device)
        return nn.functional.binary_cross_entropy_with_logits(outputs.float().squeeze(-1), targets, reduction="sum")

    def decode(self, outputs: Float[Tensor, "sequences 1"], examples: Sequence[Example]) -> list[Relevance | Ranking]:
        logits = outputs.detach().double().squeeze(-1)
        scores = (logits.sigmoid() if self.options.activation == "sigmoid" else logits).cpu().numpy()
        found: list[Relevance | Ranking] = []
        start = 0
        for example in examples:
            own = scores[start : start + len(example.sequences)]
            start += len(own)
            if example.place[1]:
                order = np.argsort(-own, kind="stable")
                found.append(Ranking(order=tuple(order.tolist()), scores=tuple(own[order].tolist())))
            else:
                found.append(Relevance(score=float(own[0])))
        return found

    def score(self, results: Sequence[Relevance], examples: Sequence[Example]) -> dict[str, float]:
        """Rows with the same query are ranked together; a query without a relevant document has no rank."""
        middle = 0.5 if self.options.activation == "sigmoid" else 0.0
        by_query: dict[str, list[tuple[float, float]]] = {}
        for result, example in zip(results, examples, strict=True):
            by_query.setdefault(example.place[0], []).append((result.score, example.target))
        right = [
            (result.score > middle) == (example.target > 0.5) for result, example in zip(results, examples, strict=True)
        ]
        ranked = [
            np.array([label for _, label in sorted(some, key=lambda each: -each[0])])
            for some in by_query.values()
            if any(label > 0 for _, label in some)
        ]
        return {
            f"ndcg@{DEPTH}": float(np.mean([_ndcg(labels) for labels in ranked])) if ranked else 0.0,
            f"mrr@{DEPTH}": float(np.mean([_reciprocal_rank(labels) for labels in ranked])) if ranked else 0.0,
            "accuracy": float(np.mean(right)) if right else 0.0,
        }

    def _target(self, label: Any, number: int) -> float | None:
        if label is None:
            return None
        try:
            value = float(label) / self.options.highest_label
        except (TypeError, ValueError):
            raise InputError(f"has the label {label!r:.40}, where a number is needed", row=number) from None
        if not 0 <= value <= 1:
            raise InputError(
                f"has the label {label!r}; labels go from 0 to highest_label, which is {self.options.highest_label:g}",
                row=number,
            )
        return value


def _documents(row: Mapping[str, Any], *, number: int) -> list[str]:
    if row.get("documents") is None:
        return [value_of(row, "document", str, number=number)]
    documents = list(value_of(row, "documents", (list, tuple), number=number))
    if not documents or not all(isinstance(document, str) for document in documents):
        raise InputError("needs a list of texts in 'documents', at least one", row=number)
    return documents


def _ndcg(labels: Float[np.ndarray, "_"]) -> float:
    """Σ label / log₂(1 + rank) over the first ten, divided by the most it could be ([Järvelin 2002]).

    [Järvelin 2002]: https://doi.org/10.1145/582415.582418
    """
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))[: len(labels)]
    best = np.sort(labels)[::-1]
    return float((labels[:DEPTH] * discounts).sum() / (best[:DEPTH] * discounts).sum())


def _reciprocal_rank(labels: Float[np.ndarray, "_"]) -> float:
    hits = np.flatnonzero(labels[:DEPTH] > 0)
    return 1 / (int(hits[0]) + 1) if len(hits) else 0.0
