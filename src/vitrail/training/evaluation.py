"""A model's score on a set of examples, in eval mode, whatever mode it is in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vitrail.api import Encoder
from vitrail.api.batches import token_batches
from vitrail.tasks.task import Example, Task

LOSS = "loss"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """metrics: those of the task, and `loss` (mean over the units). results: one per example, in their order."""

    metrics: dict[str, float]
    results: tuple[Any, ...]


@torch.no_grad()
def evaluate(
    encoder: Encoder, task: Task, examples: Sequence[Example], *, batch_tokens: int, batch_size: int
) -> Evaluation:
    """Score `examples`, which all have a target; the weights and the mode of the encoder stay as they were.

    batch_size: how many rows a loss that couples them sees at once; of no meaning to others.
    """
    training = encoder.training
    encoder.eval()
    try:
        total, results = _run(encoder, task, examples, batch_tokens, batch_size)
    finally:
        encoder.train(training)
    units = sum(task.units(example) for example in examples)
    metrics = {LOSS: total / units if units else math.nan, **task.score(results, examples)}
    return Evaluation(metrics=metrics, results=tuple(results))


def _run(
    encoder: Encoder, task: Task, examples: Sequence[Example], batch_tokens: int, batch_size: int
) -> tuple[float, list[Any]]:
    results: list[Any] = [None] * len(examples)
    vectors: list[Any] = [None] * len(examples)
    total = 0.0
    for chosen in token_batches(np.array([example.tokens for example in examples]), batch_tokens):
        batch = [examples[place] for place in chosen]
        outputs = encoder.task_outputs(batch)
        for place, result in zip(chosen, task.decode(outputs, batch), strict=True):
            results[place] = result
        if task.couples_rows:
            parts = outputs.split([len(example.sequences) for example in batch])
            for place, part in zip(chosen, parts, strict=True):
                vectors[place] = part
        else:
            total += float(task.loss(outputs, batch))
    if task.couples_rows:
        for start in range(0, len(examples), batch_size):
            together = torch.cat(vectors[start : start + batch_size])
            total += float(task.loss(together, examples[start : start + batch_size]))
    return total, results
