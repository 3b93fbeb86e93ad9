"""A tiny encoder with a task that can be learned, and the pieces of a run around it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from vitrail.api import Encoder
from vitrail.layers.pooling import Pooling, PoolingSpec
from vitrail.models import EncoderSpec
from vitrail.tasks import Example, Task
from vitrail.training.config import OptimizerConfig, TrainingConfig
from vitrail.training.loop import Loop

SPEC = EncoderSpec.original(
    vocab_size=23, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=20, dropout=0.0, padding_id=0
)
MEAN = PoolingSpec(modes=("mean",), include_prompt=True, projections=(), normalize=False)


def encoder_with(name: str, *, dropout: float = 0.0, seed: int = 0, dtype: torch.dtype = torch.float32) -> Encoder:
    """An untrained encoder with a task of this name."""
    each = replace(SPEC.dropout, **{place: dropout for place in vars(SPEC.dropout) if place != "relation"})
    made = Encoder.from_spec(replace(SPEC, dropout=each), seed=seed)
    made.pooling = Pooling(MEAN)
    torch.manual_seed(seed)
    labels = ("no", "yes", "maybe") if name == "text-classification" else ()
    made.attach(made.new_task(name, labels=labels))
    return made.to(dtype)


def classified(count: int, *, seed: int = 0) -> list[Example]:
    """Sequences of skewed lengths; the label says which of the tokens 1, 2, 3 the sequence begins with."""
    draw = np.random.default_rng(seed)
    found = []
    for row in range(count):
        ids = draw.integers(4, SPEC.vocab_size, size=int(draw.geometric(0.25)) + 1)
        label = int(draw.integers(3))
        ids[0] = label + 1
        found.append(Example(sequences=(ids,), target=label, row=row))
    return found


def paired(count: int, *, seed: int = 0) -> list[Example]:
    """Pairs of sequences for a contrastive loss."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 7, size=(count, 2))
    return [
        Example(sequences=tuple(draw.integers(4, SPEC.vocab_size, size=int(size)) for size in pair), row=row)
        for row, pair in enumerate(sizes)
    ]


def loop_over(encoder: Encoder, train: Sequence[Example], **options: object) -> Loop:
    """A loop with small defaults; `options` are those of `TrainingConfig`, `OptimizerConfig` and `Loop`."""
    rates = {name: options.pop(name) for name in list(options) if name in OptimizerConfig.model_fields}
    chosen = {name: options.pop(name) for name in list(options) if name in TrainingConfig.model_fields}
    return Loop(
        encoder,
        train=train,
        training=TrainingConfig(**{"epochs": 2, "batch_size": 8, "probe_rows": 16, **chosen}),
        optimizer=OptimizerConfig(**{"learning_rate": 3e-3, **rates}),
        **options,
    )


def out_of_memory_above(monkeypatch: pytest.MonkeyPatch, encoder: Encoder, most: int) -> list[int]:
    """Passes of more than `most` tokens end as they do on a full device; returns the tokens of those that ran."""
    whole, ran = encoder.task_outputs, []

    def run(examples: Sequence[Example]) -> torch.Tensor:
        tokens = sum(example.tokens for example in examples)
        if tokens > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        ran.append(tokens)
        return whole(examples)

    monkeypatch.setattr(encoder, "task_outputs", run)
    return ran


def weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in encoder.named_parameters()}


def gradients(encoder: Encoder) -> torch.Tensor:
    """All of them, one after the other; and none are left."""
    found = torch.cat([each.grad.flatten() for each in encoder.parameters() if each.grad is not None])
    encoder.zero_grad()
    return found


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def task_of(encoder: Encoder) -> Task:
    return encoder.need_task()
