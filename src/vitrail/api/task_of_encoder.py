"""A task on an encoder: made in the style of its family, attached, run.

The packed stream holds all sequences of all examples, one after the other; a task finds its own by the examples.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vitrail.families.heads import head_spec
from vitrail.layers.packing import Packing
from vitrail.tasks import TASKS, Example, Task

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder


def new_task(encoder: "Encoder", name: str, *, labels: Sequence[str] = (), options: Any = None) -> Task:
    """A task with a new head, as the encoder's family publishes it; a plain one where the family has none."""
    kind = task_class(name)
    published = encoder.family.heads.get(kind.kind or "")
    head = None
    if published is not None and getattr(options, "pooling", "family") == "family":
        outputs = kind.num_outputs(encoder.spec, tuple(labels))
        head = head_spec(published, encoder.config, encoder.spec, outputs=outputs)
    return kind.build(encoder.spec, encoder.pooling, labels=tuple(labels), options=options, head=head)


def task_class(name: str) -> type[Task]:
    if name not in TASKS:
        raise ValueError(f"task {name!r}: choose among {', '.join(TASKS)}")
    return TASKS[name]


def task_outputs(encoder: "Encoder", examples: Sequence[Example]) -> Tensor:
    """The outputs of the task's head for the examples; differentiable."""
    task = encoder.need_task()
    ids, lengths, types = stream_of(examples, encoder.spec.num_token_types)
    packing = Packing.of(lengths, device=encoder.device)
    hidden = encoder.model(
        _tensor(ids, encoder.device), packing, None if types is None else _tensor(types, encoder.device)
    )
    return task(hidden, packing, examples)


def stream_of(
    examples: Sequence[Example], num_token_types: int
) -> tuple[Int64[np.ndarray, "tokens"], list[int], Int64[np.ndarray, "tokens"] | None]:
    """(ids, length of every sequence, token types) of all examples. No types where all are 0 or the model has none."""
    sequences = [sequence for example in examples for sequence in example.sequences]
    ids = np.concatenate([np.empty(0, dtype=np.int64), *sequences])
    lengths = [len(sequence) for sequence in sequences]
    if num_token_types < 2 or not any(example.token_type_ids for example in examples):
        return ids, lengths, None
    types = [
        part
        for example in examples
        for part in example.token_type_ids or tuple(np.zeros_like(sequence) for sequence in example.sequences)
    ]
    joined = np.concatenate(types)
    return ids, lengths, joined if joined.any() else None


def _tensor(values: Int64[np.ndarray, "tokens"], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)
