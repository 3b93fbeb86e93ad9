"""A run put together: from a configuration to a trained model and the record of how it came about.

configuration -> data -> encoder and task -> examples -> Loop -> run folder
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import is_dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vitrail.api import load
from vitrail.errors import DataWarning, FallbackWarning, TrainingError
from vitrail.tasks import TASKS, Example, Task, labels_of
from vitrail.training.building import build_encoder, build_task, set_dropout
from vitrail.training.config import RunConfig
from vitrail.training.config_files import options_of, read_config
from vitrail.training.datasets import read_data
from vitrail.training.distillation import Distillation, load_teacher
from vitrail.training.doctor import Finding, examine
from vitrail.training.evaluation import Evaluation, evaluate
from vitrail.training.loop import Loop, watched_metric
from vitrail.training.lora import add_lora, merged
from vitrail.training.processes import Processes
from vitrail.training.randomness import draw_generator, own_randomness
from vitrail.training.records import Console, Listener, LogFile
from vitrail.training.run import TrainingResult
from vitrail.training.run_folder import RunFolder, digest_of
from vitrail.training.sharding import shard, whole_weights

Row = Mapping[str, Any]


def train_in(
    folder: str | os.PathLike[str] | None,
    config: RunConfig | Mapping[str, Any] | str | os.PathLike[str],
    *,
    overrides: Sequence[str],
    resume: bool,
    show_progress: bool | None,
) -> TrainingResult:
    """See `vitrail.train`."""
    chosen = read_config(config, overrides)
    place = RunFolder(Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}" if folder is None else Path(folder))
    place.check(resume=resume)
    device = _device(chosen.training.device)
    _check_precision(chosen, device)
    if chosen.training.threads is not None:
        torch.set_num_threads(chosen.training.threads)
    processes = Processes.join(device, shard=chosen.training.shard)
    with own_randomness(), ExitStack() as stack:
        return _Run(chosen, place, processes, device, stack).go(resume=resume, show_progress=show_progress)


class _Run:
    def __init__(self, config: RunConfig, place: RunFolder, processes: Processes, device: str, stack: ExitStack):
        self.config, self.place, self.processes = config, place, processes
        self.device, self.stack = device, stack

    def go(self, *, resume: bool, show_progress: bool | None) -> TrainingResult:
        config, kind = self.config, task_class(self.config.task.name)
        options_of(kind, config.task.options)  # refused before the data are read
        if self.processes.writes:
            heed(examine(config.data, config.task.name, offline=config.model.offline))
        data = read_data(config.data, kind.roles, offline=config.model.offline)
        self.validation_rows = data.validation
        encoder = build_encoder(
            config.model,
            texts=texts_in(data.train, kind),
            max_length=config.training.max_length,
            seed=config.training.seed,
        )
        torch.manual_seed(config.training.seed)  # of the head's and LoRA's first weights
        labels = labels_of(config.task.name, data.train)
        task = build_task(encoder, config.model, config.task.name, labels=labels, options=config.task.options)
        encoder.attach(task)
        if config.training.dropout is not None:
            set_dropout(encoder, config.training.dropout)
        if config.lora is not None:
            add_lora(encoder, config.lora)
        if self.processes.sharded:
            shard(encoder, self.processes, torch.device(self.device).type)
        else:
            encoder.to(self.device)
        distillation = None
        if config.distill is not None:
            teacher = load_teacher(config.distill, task.name, model=config.model, device=self.device)
            distillation = Distillation.between(encoder, teacher, config.distill)
        tokenizer = encoder.need_tokenizer()
        examples = partial(task.examples, tokenizer=tokenizer, max_length=encoder.max_length)
        # a row is named by its number in its file, wherever a message or a drawing needs one
        train = [replace(each, row=row["row"]) for each, row in zip(examples(data.train), data.train, strict=True)]
        validation = examples(data.validation)
        watched_metric(task, config.training.watch)  # before anything is written
        self.encoder, self.task = encoder, task
        if self.processes.writes:
            self.place.begin(config, data=digest_of(train), processes=self.processes.count)
        self.processes.wait()
        loop = Loop(
            encoder,
            train=train,
            validation=validation,
            training=config.training,
            optimizer=config.optimizer,
            averaging=config.averaging,
            snapshots=self.place.snapshots,
            processes=self.processes,
            distillation=distillation,
            on_best=self._keep,
        )
        if resume:
            loop.resume()
        loop.listeners += self._listeners(loop, show_progress)
        at = loop.run()
        test = self._test(loop, examples(data.test)) if data.test else None
        if self.processes.writes and config.logging.report and data.validation:
            self._report()
        return TrainingResult(
            folder=self.place.path,
            model=self.place.model,
            metric=loop.watched,
            best=at.best,
            best_step=at.best_step,
            test=test,
            steps=at.step,
            history=tuple(at.history),
        )

    def _test(self, loop: Loop, examples: Sequence[Example]) -> Mapping[str, float]:
        """Scores of the test data, by the weights that were kept; looked at once, when everything is decided."""
        self.processes.wait()  # until they are written
        options = self.config.training
        kept = load(
            self.place.model, task=self.config.task.name, device=self.device, max_length=self.encoder.max_length
        )
        drawn = [kept.need_task().draw(each, draw_generator(options.seed, 0, each.row)) for each in examples]
        found = evaluate(
            kept, kept.need_task(), drawn, batch_tokens=options.batch_tokens, batch_size=options.batch_size
        )
        record = {"event": "evaluation", "step": loop.counters.step, "epoch": loop.counters.epoch, "split": "test"}
        for listener in loop.listeners:
            listener.hear({**record, "metrics": found.metrics})
        return found.metrics

    def _report(self) -> None:
        try:
            from vitrail.training.report import write_report

            write_report(self.place.path)
        except ImportError as error:
            warnings.warn(
                f"the run has no report, as {error.name} is not installed: pip install 'vitrail[train]', then "
                "vitrail.training.report.write_report(folder)",
                FallbackWarning,
                stacklevel=2,
            )

    def _keep(self, evaluation: Evaluation | None) -> None:
        """Save the encoder as it is now, and what it says of the validation data."""
        with whole_weights(self.encoder, self.processes):
            if self.processes.writes:
                with merged(self.encoder):
                    self.place.put_model(self.encoder.save)
        if self.processes.writes and evaluation is not None:
            records = zip(self.validation_rows, evaluation.results, strict=True)
            self.place.put_predictions(
                {"row": row["row"], **prediction(self.task, row, result)} for row, result in records
            )

    def _listeners(self, loop: Loop, show_progress: bool | None) -> Iterator[Listener]:
        if not self.processes.writes:
            return
        done = loop.counters.step
        yield self._closed(LogFile(self.place.log, resumed_step=done))
        yield self._closed(Console(loop.total_steps, done=done, show=show_progress))
        logging = self.config.logging
        if logging.tensorboard or logging.graph or logging.projector:
            from vitrail.training.tensorboard import Board

            board = Board(self.place.board, resumed_step=done)
            yield self._closed(board)
            if logging.graph:
                board.add_graph(self.encoder)
            if logging.projector:
                texts = [row["text"] for row in self.validation_rows if isinstance(row.get("text"), str)]
                self.stack.callback(lambda: board.add_vectors(self.encoder, texts[:1000], loop.counters.step))

    def _closed(self, listener: Listener) -> Listener:
        self.stack.callback(listener.close)
        return listener


def prediction(task: Task, row: Row, result: Any) -> dict[str, Any]:
    """What a row holds and what was found, for `predictions.jsonl`."""
    targets = [role.name for role in task.roles if role.target and row.get(role.name) is not None]
    gold = row[targets[0]] if len(targets) == 1 else {name: row[name] for name in targets}
    found = {name: plain for name, value in vars(result).items() if (plain := _plain(value)) is not _NOTHING}
    record = {"gold": gold, "prediction": found.get("label", found.get("labels", found))}
    scores = getattr(result, "scores", None)
    return record if scores is None else {**record, "probabilities": dict(scores)}


_NOTHING = object()


def _plain(value: Any) -> Any:
    """The value as JSON can hold it; arrays (vectors) are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain for name, each in vars(value).items() if (plain := _plain(each)) is not _NOTHING}
    if isinstance(value, list | tuple):
        return [plain for each in value if (plain := _plain(each)) is not _NOTHING]
    return value if isinstance(value, str | int | float | None) else _NOTHING


def task_class(name: str) -> type[Task]:
    if name not in TASKS:
        raise ValueError(f"task.name {name!r}: choose among {', '.join(TASKS)}")
    return TASKS[name]


def heed(findings: Sequence[Finding]) -> None:
    """Refuse data with errors before a model is loaded, and warn of the rest; `vitrail doctor` shows all of it."""
    errors = [found for found in findings if found.severity == "error"]
    if errors:
        listed = "; ".join(f"{found.id}: {found.message.rstrip('.')}. {found.remedy}" for found in errors)
        raise TrainingError(f"the data cannot be trained on: {listed} (`vitrail doctor` shows the rows)")
    for found in findings:
        if found.severity == "warning":
            warnings.warn(f"{found.id}: {found.message.rstrip('.')}. {found.remedy}", DataWarning, stacklevel=2)


def texts_in(rows: Sequence[Row], task: type[Task]) -> Iterator[str]:
    """Every text in the rows, words of tokenised ones by themselves."""
    names = [role.name for role in task.roles if role.kind in ("text", "texts", "tokens")]
    for row in rows:
        for value in (row[name] for name in names if row.get(name) is not None):
            yield from [value] if isinstance(value, str) else value


def _device(name: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _check_precision(config: RunConfig, device: str) -> None:
    if config.training.precision == "bfloat16" and torch.device(device).type == "cpu":
        raise ValueError("training.precision bfloat16 is for a GPU; on the CPU use float32")
