"""What every task is: rows become examples, a head turns hidden states into outputs, a loss sums over units, results
come out.

The idea: a task never divides. Its loss is a sum over units (rows, labelled tokens, masked tokens) and it says how many
units an example has, so that whoever trains divides once by the units of a whole window of accumulation, however it was
cut into batches.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vitrail.layers.head import Head, HeadSpec, TiedOutput
from vitrail.layers.packing import Packing
from vitrail.layers.pooling import Pooling
from vitrail.models import EncoderModel, EncoderSpec
from vitrail.tasks.plain_heads import plain_head
from vitrail.tokenization import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Role:
    """A part that a column of the data plays in a task.

    kind: "text" (str), "label" (str), "labels" (list of str), "tokens" (list of str), "tags" (list of str, as long as
    the tokens), "number" (float), "texts" (list of str), "answers" (list of {"text": str, "start": int}).
    target: whether it is what the task predicts; such a column is not needed for a prediction.
    """

    name: str
    kind: str
    required: bool = True
    target: bool = False


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row, ready for the model.

    sequences: ids of each sequence the row becomes: one for a text or a pair, several for an anchor with its positive
        and negatives, or for the windows over a long context.
    token_type_ids: of the same shapes, or None.
    target: what the loss compares with, in the task's own form; None where only a prediction is wanted.
    place: what decoding needs beside it (the text, offsets, words), in the task's own form.
    row: the number of the row in its data.
    """

    sequences: tuple[Int64[np.ndarray, "_"], ...]
    token_type_ids: tuple[Int64[np.ndarray, "_"], ...] | None = None
    target: Any = None
    place: Any = None
    row: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that the model sees of this row."""
        return sum(len(sequence) for sequence in self.sequences)


class Task(nn.Module):
    """A head with all that belongs to it. Its parameters are the head's.

    name: as in `vitrail.load(task=…)`. roles: the columns it reads.
    asks: the roles it predicts from, some of which only a prediction may have; the first is in every row.
    labelled: whether its outputs have names. kind: of the published heads that serve it; None where it has no head.
    Options: a frozen dataclass of its choices, each with its default.
    metric_names: what `score` returns, all of them better when higher; the first is the one that is watched when nobody
    says.
    couples_rows: the loss compares the rows of a window with each other (contrastive losses). Then `forward` gives one
    vector per sequence, and `loss` must be given the outputs of a whole window at once.
    """

    name: ClassVar[str]
    kind: ClassVar[str | None]
    roles: ClassVar[tuple[Role, ...]]
    asks: ClassVar[tuple[str, ...]]
    Options: ClassVar[type]
    labelled: ClassVar[bool] = False
    metric_names: tuple[str, ...]
    couples_rows: bool = False

    def __init__(self, head: Head | None, *, labels: tuple[str, ...], options: Any):
        super().__init__()
        self.head = head
        self.labels = labels
        self.options = options

    @classmethod
    def build(
        cls,
        encoder_spec: EncoderSpec,
        pooling: Pooling | None = None,
        *,
        labels: tuple[str, ...] = (),
        options: Any = None,
        head: HeadSpec | None = None,
    ) -> "Task":
        """A task with a new head, drawn as the encoder's own weights are. `Encoder.new_task` is the usual way here.

        labels: what a classifier tells apart, in the order of its outputs. options: None for the defaults.
        head: None for a plain one; `families` say what the published ones look like.
        """
        made = None
        if cls.kind is not None:
            outputs = cls.num_outputs(encoder_spec, labels)
            made = Head(head or plain_head(cls.kind, encoder_spec, pooling, outputs), encoder_spec.hidden_size)
            made.initialize(encoder_spec.initializer_range)
        return cls(made, labels=tuple(labels), options=cls.Options() if options is None else options)

    @classmethod
    def num_outputs(cls, encoder_spec: EncoderSpec, labels: Sequence[str]) -> int:
        """Logits that the head gives for a sequence, or for a token."""
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"{cls.name} needs two labels or more, each once; got {list(labels)!r}")
        return len(labels)

    def connect(self, model: EncoderModel, pooling: Pooling) -> None:
        """Take what belongs to the encoder and not to the head; `Encoder.attach` calls it."""
        for module in self.modules():
            if isinstance(module, TiedOutput):
                module.tie(model.embeddings)

    def options_as_dict(self) -> dict[str, Any]:
        return asdict(self.options)

    def rows_of(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """What `predict` is given, as rows keyed by role."""
        return [{"text": value} if isinstance(value, str) else _pair_or_row(value) for value in inputs]

    @abstractmethod
    def examples(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *, max_length: int | None, first_row: int = 0
    ) -> list[Example]:
        """Rows, keyed by role, as examples; a row without a target gives an example without one.

        Raises InputError, which names the row (counted from `first_row`), for one that cannot be used. Warns of texts
        that were cut.
        """

    def draw(self, example: Example, generator: np.random.Generator) -> Example:
        """The example as this epoch sees it (which tokens are masked, say); most tasks draw nothing."""
        return example

    def units(self, example: Example) -> int:
        """Terms of the loss that this example adds."""
        return 1

    @abstractmethod
    def forward(self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, examples: Sequence[Example]) -> Tensor:
        """Hidden states of all sequences of the examples, in their order, to the head's outputs."""

    @abstractmethod
    def loss(self, outputs: Tensor, examples: Sequence[Example]) -> Float[Tensor, ""]:
        """The sum of the loss over the units of these examples."""

    @abstractmethod
    def decode(self, outputs: Tensor, examples: Sequence[Example]) -> list[Any]:
        """One frozen result per example."""

    @abstractmethod
    def score(self, results: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Every metric of `metric_names` over a whole set of data."""


def _pair_or_row(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"text": value[0], "text_pair": value[1]}
    return {"text": value}  # refused, with its row, where texts are checked
