"""One text, or a pair of texts, to one of several labels; or, with `multi_label`, to any number of them.

Softmax and cross-entropy where one label holds, a sigmoid and binary cross-entropy for each where several may.
"""

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
from vitrail.tasks.metrics import accuracy, macro_f1, matthews, multi_label_f1
from vitrail.tasks.rows import encode_rows, label_index, texts_of
from vitrail.tasks.task import Example, Role, Task
from vitrail.tokenization import Tokenizer

POOLINGS = ("family", "cls", "mean")


@dataclass(frozen=True, kw_only=True)
class TextClassificationOptions:
    """multi_label: any number of labels hold. label_smoothing: this much of the target is spread over all labels.
    temperature: divides the logits before they become probabilities. threshold: of a label's probability, multi_label.
    pooling: "family" is the head that the family publishes; "cls" and "mean" are one linear layer on the first token or
        on the mean, which suits encoders that were trained for embedding (few families can publish it).
    """

    multi_label: bool = False
    label_smoothing: float = 0.0
    temperature: float = 1.0
    threshold: float = 0.5
    pooling: str = "family"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.label_smoothing and self.multi_label:
            raise ValueError("label_smoothing has no meaning where several labels may hold; leave one of the two out")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling!r}: choose among {', '.join(POOLINGS)}")


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The most probable label, its probability, and those of all labels."""

    label: str
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class MultiLabelClassification:
    """The labels whose probability reaches the threshold, the most probable first, and all probabilities."""

    labels: tuple[str, ...]
    scores: Mapping[str, float]


class TextClassification(Task):
    """Labels of texts; see `TextClassificationOptions`."""

    name = "text-classification"
    kind = SEQUENCE
    roles = (
        Role(name="text", kind="text"),
        Role(name="text_pair", kind="text", required=False),
        Role(name="label", kind="label", target=True),
    )
    asks = ("text", "text_pair")
    labelled = True
    Options = TextClassificationOptions
    options: TextClassificationOptions

    @property
    def metric_names(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.options.multi_label:
            return "micro_f1", "macro_f1", "subset_accuracy"
        return "accuracy", "macro_f1", "mcc"

    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        texts = texts_of(rows, "text", "text_pair", first_row=first_row)
        numbers = range(first_row, first_row + len(rows))
        ids, types = encode_rows(texts, tokenizer, max_length=max_length, numbers=numbers)
        return [
            Example(
                sequences=(ids[index],),
                token_type_ids=None if types is None else (types[index],),
                target=self._target(row.get("label"), first_row + index),
                row=first_row + index,
            )
            for index, row in enumerate(rows)
        ]

    def forward(self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]) -> Tensor:
        assert self.head is not None
        return self.head(hidden, packing)

    def loss(self, outputs: Float[Tensor, "rows labels"], examples: Sequence[Example]) -> Float[Tensor, ""]:
        """Cross-entropy; with several labels, the mean over the labels of their binary cross-entropy."""
        targets = torch.from_numpy(np.array([example.target for example in examples])).to(outputs.device)
        if self.options.multi_label:
            total = nn.functional.binary_cross_entropy_with_logits(outputs.float(), targets.float(), reduction="sum")
            return total / len(self.labels)
        smoothing = self.options.label_smoothing
        return nn.functional.cross_entropy(outputs.float(), targets, reduction="sum", label_smoothing=smoothing)

    def decode(
        self, outputs: Float[Tensor, "rows labels"], examples: Sequence[Example]
    ) -> list[Classification] | list[MultiLabelClassification]:
        logits = outputs.detach().double() / self.options.temperature
        if self.options.multi_label:
            return [self._several(row) for row in logits.sigmoid().tolist()]
        return [self._one(row) for row in logits.softmax(-1).tolist()]

    def score(self, results: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        if self.options.multi_label:
            found = np.array([[label in result.labels for label in self.labels] for result in results], dtype=np.bool_)
            wanted = np.array([example.target for example in examples], dtype=np.bool_)
            micro, macro = multi_label_f1(found, wanted)
            return {"micro_f1": micro, "macro_f1": macro, "subset_accuracy": float((found == wanted).all(1).mean())}
        chosen = np.array([self.labels.index(result.label) for result in results], dtype=np.int64)
        right = np.array([example.target for example in examples], dtype=np.int64)
        return {
            "accuracy": accuracy(chosen, right),
            "macro_f1": macro_f1(chosen, right),
            "mcc": matthews(chosen, right),
        }

    def _target(self, label: Any, number: int) -> Any:
        if label is None:
            return None
        if not self.options.multi_label:
            if isinstance(label, list | tuple):
                raise InputError(f"has a list of labels, {label!r:.60}; set multi_label for such data", row=number)
            return label_index(self.labels, label, number=number)
        if not isinstance(label, list | tuple):
            raise InputError(f"has the label {label!r:.60}, where multi_label needs a list of labels", row=number)
        target = np.zeros(len(self.labels), dtype=np.float32)
        target[[label_index(self.labels, each, number=number) for each in label]] = 1
        return target

    def _one(self, scores: list[float]) -> Classification:
        best = int(np.argmax(scores))
        named = dict(zip(self.labels, scores, strict=True))
        return Classification(label=self.labels[best], score=scores[best], scores=named)

    def _several(self, scores: list[float]) -> MultiLabelClassification:
        order = np.argsort(-np.array(scores), kind="stable").tolist()
        return MultiLabelClassification(
            labels=tuple(self.labels[place] for place in order if scores[place] >= self.options.threshold),
            scores=dict(zip(self.labels, scores, strict=True)),
        )
