"""A run as events for TensorBoard: scalars, and on request the model's graph and the vectors of some texts.

Written by torch.utils.tensorboard where the package tensorboard is installed.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitrail.api import Encoder
from vitrail.errors import TrainingError
from vitrail.layers.packing import Packing
from vitrail.training.records import Record

_SCALARS = ("loss", "learning_rate", "gradient_norm", "tokens_per_second")


class Board:
    """Hears the records of a run and writes them to `folder`."""

    def __init__(self, folder: Path, *, resumed_step: int):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "logging.tensorboard needs the package tensorboard, which is not installed: pip install tensorboard"
            ) from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=resumed_step + 1)

    def hear(self, record: Record) -> None:
        step = record["step"]
        if record["event"] == "step":
            for name in _SCALARS:
                self._writer.add_scalar(f"train/{name}", record[name], step)
        elif record["event"] == "evaluation":
            for name, value in record["metrics"].items():
                self._writer.add_scalar(f"{record['split']}/{name}", value, step)

    def add_graph(self, encoder: Encoder, length: int = 8) -> None:
        """The graph of the model over one sequence of `length` tokens."""
        training = encoder.training
        ids = torch.arange(length, device=encoder.device) % encoder.spec.vocab_size
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that shapes become constants, and that what is traced is traced already
            traced = torch.jit.trace(_OneSequence(encoder.eval(), length), ids, check_trace=False)
            self._writer.add_graph(traced, ids)
        encoder.train(training)

    def add_vectors(self, encoder: Encoder, texts: Sequence[str], step: int) -> None:
        """The embedding projector's points: one for each text."""
        training = encoder.training
        vectors = encoder.eval().embed(texts)
        encoder.train(training)
        labels = [" ".join(text.split())[:100] for text in texts]
        self._writer.add_embedding(torch.from_numpy(vectors), metadata=labels, global_step=step)

    def close(self) -> None:
        self._writer.close()


class _OneSequence(nn.Module):
    def __init__(self, encoder: Encoder, length: int):
        super().__init__()
        self.model = encoder.model
        self.length = length

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids, Packing.of([self.length], device=input_ids.device))
