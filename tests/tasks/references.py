"""What the reference library computes, on tiny models with a real vocabulary."""

from typing import Any

import torch
import transformers
from torch import Tensor

from oracles.tiny import ORACLES, randomized
from vitrail.families import BY_MODEL_TYPE
from vitrail.families.heads import MASKED, SEQUENCE, SPAN, TOKENS
from vitrail.tasks import Example

AUTO = {
    SEQUENCE: transformers.AutoModelForSequenceClassification,
    TOKENS: transformers.AutoModelForTokenClassification,
    SPAN: transformers.AutoModelForQuestionAnswering,
    MASKED: transformers.AutoModelForMaskedLM,
}
TASK_OF = {SEQUENCE: "text-classification", TOKENS: "token-classification", SPAN: SPAN, MASKED: MASKED}
# What tells these apart from their family is no matter of heads.
ALIKE = {"albert, two groups", "deberta-v2, one term", "gte, stretched"}
PAIRS = [
    (name, kind)
    for name, oracle in ORACLES.items()
    if name not in ALIKE
    for kind in BY_MODEL_TYPE[oracle.model_type].heads
]


def tiny_bert(auto_class: Any, *, vocab_size: int, dropout: bool = False, **options: Any) -> Any:
    config = ORACLES["bert"].config(dropout=dropout)
    config.vocab_size, config.max_position_embeddings = vocab_size, 64
    for name, value in options.items():
        setattr(config, name, value)
    model = randomized(auto_class.from_config(config))
    model.tie_weights()
    return model


def padded(examples: list[Example]) -> dict[str, Tensor]:
    """The sequences of examples as the arguments of a reference model."""
    sequences = [torch.from_numpy(ids) for example in examples for ids in example.sequences]
    types = [torch.from_numpy(part) for example in examples for part in example.token_type_ids or ()]
    pad = torch.nn.utils.rnn.pad_sequence
    given = {
        "input_ids": pad(sequences, batch_first=True),
        "attention_mask": pad([torch.ones_like(ids) for ids in sequences], batch_first=True),
    }
    return given | ({"token_type_ids": pad(types, batch_first=True)} if types else {})
