"""The one loop: windows in order, a step of the optimiser for each, scores and snapshots when they are due.

    for each epoch:  windows = epoch_windows(seed, epoch)
        for each window:  gradient of its mean loss -> clip -> step -> (average) -> (evaluate) -> (snapshot)

What happens in a step depends on the counters and the weights before it, all of which a snapshot keeps, and on nothing
else; so a run that goes on from one is the run that was never stopped. (Where the memory ends is not ours to say: a
step that is too large for it is cut smaller from there on.)
"""

import math
import time
import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitrail.api import Encoder
from vitrail.errors import BackendError, FallbackWarning
from vitrail.tasks.task import Example, Task
from vitrail.training.averaging import Averaging
from vitrail.training.config import AveragingConfig, OptimizerConfig, TrainingConfig
from vitrail.training.distillation import Distillation
from vitrail.training.divergence import refuse_gradient, refuse_loss
from vitrail.training.evaluation import LOSS, Evaluation, evaluate
from vitrail.training.gradients import GradientMaker, WindowLoss
from vitrail.training.optimizers import Optimizer, clip_gradients, gradient_norm
from vitrail.training.order import epoch_windows, pieces_of, steps_of
from vitrail.training.parameter_groups import freeze, parameter_groups, trained_parameters
from vitrail.training.processes import Processes
from vitrail.training.randomness import draw_generator, own_randomness
from vitrail.training.records import Listener, Record
from vitrail.training.schedule import as_steps, learning_rate_factor
from vitrail.training.sharding import divided_like, gathered
from vitrail.training.snapshots import Snapshot, latest_snapshot, write_snapshot
from vitrail.training.table_gradient import kept_table_gradient
from vitrail.training.token_dropout import TokenDropout


@dataclass(kw_only=True)
class Counters:
    """Where a run stands. window: the next one of `epoch`. best: of the metric that is watched.

    batch_tokens: of a pass, once the memory was too small for what the configuration says; None until then.
    """

    step: int = 0
    epoch: int = 0
    window: int = 0
    best: float | None = None
    best_step: int | None = None
    worse: int = 0
    batch_tokens: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class Loop:
    """Trains `encoder`, which has a task, on `train`.

    validation: may be empty; then nothing is watched and the last weights are kept.
    snapshots: the folder of the run's snapshots, None for a run that leaves nothing behind.
    distillation: a teacher whose terms are added to the loss.
    on_best: called, with the weights that are to be kept in place, whenever they are better than all before (and at
    the end, where the last are kept).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        train: Sequence[Example],
        validation: Sequence[Example] = (),
        training: TrainingConfig,
        optimizer: OptimizerConfig,
        averaging: AveragingConfig | None = None,
        snapshots: Path | None = None,
        processes: Processes | None = None,
        distillation: Distillation | None = None,
        listeners: Sequence[Listener] = (),
        on_best: Callable[[Evaluation | None], None] = lambda evaluation: None,
    ):
        assert encoder.task is not None
        self.encoder, self.task = encoder, encoder.task
        self.train = list(train)
        self.options, self.rates = training, optimizer
        self.processes = processes or Processes()
        self.snapshots, self.listeners, self.on_best = snapshots, list(listeners), on_best
        self.watched = watched_metric(self.task, training.watch)
        self.counters = Counters()
        self.lengths = np.array([example.tokens for example in self.train], dtype=np.int64)
        self.draws = type(self.task).draw is not Task.draw
        self.token_dropout = self._token_dropout(training.token_dropout)
        self.validation = [self._drawn(example, epoch=0) for example in validation]
        self.steps_per_epoch = steps_of(len(self.train), training.batch_size)
        self.total_steps = training.steps or training.epochs * self.steps_per_epoch
        freeze(encoder, optimizer.freeze)
        self.optimizer = build_optimizer(encoder, optimizer)
        kind = averaging or AveragingConfig()
        self.averaging = Averaging(trained_parameters(encoder), ema=kind.ema, last_k=kind.last_epochs)
        self._kept: Set[nn.Parameter] = frozenset()  # whose gradient is kept from step to step
        half = training.precision == "bfloat16"
        self.gradients = GradientMaker(
            encoder=encoder,
            task=self.task,
            seed=training.seed,
            processes=self.processes,
            bfloat16=half,
            distillation=distillation,
        )

    def resume(self) -> bool:
        """Go on from the last snapshot, where there is one."""
        found = None if self.snapshots is None else latest_snapshot(self.snapshots)
        if found is None:
            return False
        with torch.no_grad():
            for name, parameter in self.encoder.named_parameters():
                parameter.copy_(divided_like(found.weights[name], parameter))
        self.optimizer.load(found.optimizer)
        self.averaging.load(found.average)
        self.counters = Counters(step=found.step, **found.state["counters"])
        return True

    def run(self) -> Counters:
        """Train to the end; returns where it came to."""
        with own_randomness(), kept_table_gradient(self.encoder, sharded=self.processes.sharded) as self._kept:
            self.encoder.train()
            while (reason := self._finished()) is None:
                self._epoch()
            return self._end(reason)

    def _finished(self) -> str | None:
        """Why there is no further step; None while there is one."""
        at, patience = self.counters, self.options.patience
        if at.step >= self.total_steps:
            return f"all {self.total_steps} steps done"
        if patience is not None and at.worse >= patience:
            return f"{self.watched} has not been better for {at.worse} evaluations"
        return None

    def _epoch(self) -> None:
        """What is left of the epoch."""
        at, epoch = self.counters, self.counters.epoch
        windows = epoch_windows(
            self.lengths,
            batch_size=self.options.batch_size,
            seed=self.options.seed,
            epoch=epoch,
            group_by_length=self.options.group_by_length,
        )
        while at.epoch == epoch and self._finished() is None:
            self._step(windows[at.window])
            self._after_step()

    def _step(self, window: np.ndarray) -> None:
        at, options = self.counters, self.options
        began = time.perf_counter()
        pieces, loss = self._window(window)
        self.processes.sum_gradients(self.optimizer.parameters)
        norm = gradient_norm(self.optimizer.parameters)
        value, size = torch.stack([loss.mean, norm.to(loss.mean)]).tolist()  # the one wait for the device in a step
        if not math.isfinite(value):
            # what no process has is not finite when it is summed up: then all pieces are looked at
            bad = {number: pieces[number] for number in self._not_finite(loss, len(pieces))} or dict(enumerate(pieces))
            raise refuse_loss(self.encoder, self.task, bad, step=at.step, seed=options.seed)
        if not math.isfinite(size):
            raise refuse_gradient(self.encoder, pieces, step=at.step)
        if self.rates.clip is not None:
            clip_gradients(self.optimizer.parameters, self.rates.clip, norm)
        factor = self._factor(at.step)
        self.optimizer.step(factor)
        self.optimizer.zero_grad(self._kept)
        self.averaging.after_step()
        at.step += 1
        at.window += 1
        self._tell(
            {
                "event": "step",
                "step": at.step,
                "epoch": at.epoch,
                "loss": value,
                "learning_rate": self.rates.learning_rate * factor,
                "gradient_norm": size,
                "tokens": loss.tokens,
                "units": loss.units,
                "tokens_per_second": loss.tokens / (time.perf_counter() - began),
            }
        )

    def _window(self, window: np.ndarray) -> tuple[list[list[Example]], WindowLoss]:
        """The window in pieces, with its gradient in place; in smaller ones where the memory is too small.

        What was added before the memory ended is thrown away, so the gradient is that of the window as ever (dropout,
        which is seeded by the piece, draws others). Several processes wait for each other inside a window, so there
        the error is let through.
        """
        while True:
            cut = pieces_of(window, self.lengths, batch_tokens=self._batch_tokens, at_least=self.processes.count)
            pieces = [[self._trained(self.train[row], self.counters.epoch) for row in piece] for piece in cut]
            try:
                return pieces, self.gradients.window(pieces, self.counters.step)
            except torch.OutOfMemoryError as error:
                if self.processes.count > 1:
                    raise
                longest = max(pieces, key=lambda piece: sum(example.tokens for example in piece))
                refused = str(error)
            # outside of the except, as the error holds what was computed until it was raised
            self._take_less(longest, refused)

    def _take_less(self, longest: Sequence[Example], refused: str) -> None:
        """Half of `longest` from now on, the piece with most tokens of those that were too much."""
        tokens = sum(example.tokens for example in longest)
        if len(longest) == 1:
            raise BackendError(
                f"out of memory on {self.encoder.device} in training with the {tokens} tokens of one row (row "
                f"{longest[0].row}); set training.max_length or take a smaller model: {refused:.200}"
            )
        self.optimizer.zero_grad(self._kept)
        if self.encoder.device.type == "cuda":
            torch.cuda.empty_cache()
        self.counters.batch_tokens = less = max(tokens // 2, 1)
        warnings.warn(
            f"out of memory on {self.encoder.device} with {tokens} tokens in one pass; from step {self.counters.step} "
            f"on it takes at most {less}, with the same gradient. Set training.batch_tokens to {less} to begin so",
            FallbackWarning,
            stacklevel=2,
        )

    @property
    def _batch_tokens(self) -> int:
        return self.counters.batch_tokens or self.options.batch_tokens

    def _not_finite(self, loss: WindowLoss, pieces: int) -> list[int]:
        """The numbers of the pieces whose loss is not finite, whichever process ran them."""
        marks = torch.zeros(pieces, device=self.encoder.device)
        for number, value in loss.of_pieces.items():
            marks[number] = not torch.isfinite(value)
        return self.processes.sum(marks).nonzero().flatten().tolist()

    def _after_step(self) -> None:
        at, options = self.counters, self.options
        epoch_ends = at.window == self.steps_per_epoch
        if epoch_ends:
            at.epoch, at.window = at.epoch + 1, 0
            self.averaging.after_epoch()
        last = at.step == self.total_steps
        if last or (epoch_ends if options.evaluate_steps is None else at.step % options.evaluate_steps == 0):
            self._evaluate()
        if last or (epoch_ends if options.checkpoint_steps is None else at.step % options.checkpoint_steps == 0):
            self._snapshot()

    def _evaluate(self) -> None:
        """Score the probe and the validation data with the weights that would be kept."""
        at = self.counters
        if not self.validation:
            return
        with self.averaging.applied():
            found = {}
            for split, examples in (("train_probe", self._probe()), ("validation", self.validation)):
                if examples:
                    found[split] = self._score(examples)
                    record = {"event": "evaluation", "step": at.step, "epoch": at.epoch, "split": split}
                    self._tell({**record, "metrics": found[split].metrics})
                    at.history.append({**record, "metrics": found[split].metrics})
            value = found["validation"].metrics[self.watched]
            better = at.best is None or (value < at.best if self.watched == LOSS else value > at.best)
            if better:
                at.best, at.best_step, at.worse = value, at.step, 0
                if self.options.keep == "best":
                    self.on_best(found["validation"])
            else:
                at.worse += 1

    def _score(self, examples: Sequence[Example]) -> Evaluation:
        return evaluate(
            self.encoder,
            self.task,
            examples,
            batch_tokens=self._batch_tokens,
            batch_size=self.options.batch_size,
        )

    def _probe(self) -> list[Example]:
        """Rows of the training data, the same at every evaluation, as they are without drawing."""
        rows = np.random.default_rng((self.options.seed, 3)).permutation(len(self.train))[: self.options.probe_rows]
        return [self._drawn(self.train[row], epoch=0) for row in np.sort(rows)]

    def _snapshot(self) -> None:
        if self.snapshots is None:
            return
        counters = asdict(self.counters)
        snapshot = Snapshot(
            step=counters.pop("step"),
            weights=gathered(dict(self.encoder.named_parameters()), self.processes),
            optimizer=gathered(self.optimizer.state(), self.processes),
            average=gathered(self.averaging.state(), self.processes),
            state={"counters": counters},
        )
        if self.processes.writes:
            write_snapshot(self.snapshots, snapshot, keep=self.options.keep_checkpoints)

    def _end(self, reason: str) -> Counters:
        if self.options.keep == "last" or not self.validation:
            with self.averaging.applied():
                self.on_best(self._score(self.validation) if self.validation else None)
        self.encoder.eval()
        self._tell({"event": "end", "step": self.counters.step, "epoch": self.counters.epoch, "reason": reason})
        return self.counters

    def _drawn(self, example: Example, epoch: int) -> Example:
        return self.task.draw(example, draw_generator(self.options.seed, epoch, example.row)) if self.draws else example

    def _trained(self, example: Example, epoch: int) -> Example:
        """The row as the model sees it in training."""
        if self.token_dropout is None:
            return self._drawn(example, epoch)
        return self.token_dropout.hide(example, draw_generator(self.options.seed, epoch, example.row))

    def _token_dropout(self, probability: float) -> TokenDropout | None:
        if probability and self.draws:
            raise ValueError(f"training.token_dropout: {self.task.name} hides tokens itself; leave it out")
        return TokenDropout.of(self.encoder.need_tokenizer(), probability) if probability else None

    def _factor(self, step: int) -> float:
        return learning_rate_factor(
            step,
            total=self.total_steps,
            schedule=self.rates.schedule,
            warmup=as_steps(self.rates.warmup, self.total_steps),
            cooldown=as_steps(self.rates.cooldown, self.total_steps),
        )

    def _tell(self, record: Record) -> None:
        for listener in self.listeners:
            listener.hear(record)


def watched_metric(task: Task, name: str | None) -> str:
    """The metric that decides which weights are best; ValueError, listing all, where there is none of the name."""
    known = (*task.metric_names, LOSS)
    if name is not None and name not in known:
        raise ValueError(f"training.watch: {task.name} has no metric {name!r}; there are {', '.join(known)}")
    return name or known[0]


def build_optimizer(encoder: Encoder, config: OptimizerConfig) -> Optimizer:
    groups = parameter_groups(
        encoder,
        learning_rate=config.learning_rate,
        head_learning_rate=config.head_learning_rate,
        layer_decay=config.layer_decay,
        weight_decay=config.weight_decay,
    )
    if not groups:
        raise ValueError("optimizer.freeze leaves nothing to train")
    return Optimizer(groups, name=config.name, betas=config.betas, epsilon=config.epsilon, momentum=config.momentum)
