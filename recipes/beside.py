"""transformers' Trainer beside our loop.

Both begin with one folder that transformers saved (published weights, a new head), see the same token ids, take as many
steps at the same learning rates, and are scored by the same code. Time is that of tokenising and training; loading and
scoring do not count. The Trainer pads each batch to its longest row: with rows in random order, and grouped by length,
its own remedy.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
RANDOM, GROUPED, OURS = "transformers Trainer", "transformers Trainer, grouped by length", "vitrail"
IGNORED = -100  # the label that transformers' losses pass over


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """data: keys of DataConfig; without test rows only the time is compared. auto: transformers' class of the head."""

    about: str
    task: str
    auto: str
    data: dict[str, Any] | None
    metric: str | None
    epochs: int = 1
    rows: int | None = None
    batch_size: int = 32
    max_length: int = 128
    learning_rate: float = 5e-5
    seeds: tuple[int, ...] = (0,)


COMPARISONS = {
    "beside-skewed": Comparison(
        about="texts of skewed lengths, two labels, 12 steps",
        task="text-classification",
        auto="AutoModelForSequenceClassification",
        data=None,
        metric=None,
        rows=384,
        seeds=(0, 1, 2),
    ),
    "beside-sst2": Comparison(
        about="SST-2, 6,000 phrases",
        task="text-classification",
        auto="AutoModelForSequenceClassification",
        data={
            "train": "$VITRAIL_DATA/sst2/train.tsv",
            "test": "$VITRAIL_DATA/sst2/dev.tsv",
            "roles": {"text": {"train": "sentence", "test": "content"}},
        },
        metric="accuracy",
        rows=6000,
        seeds=(0, 1, 2),
    ),
    "beside-wnut17": Comparison(
        about="WNUT17, all 3,394 posts",
        task="token-classification",
        auto="AutoModelForTokenClassification",
        data={
            "train": "$VITRAIL_DATA/wnut17/wnut17train.conll",
            "test": "$VITRAIL_DATA/wnut17/emerging.test.annotated",
            "format": "conll",
        },
        metric="f1",
        epochs=3,
        learning_rate=2e-4,
    ),
    "beside-squad": Comparison(
        about="2,000 questions of squadshifts, tested on xquad.en",
        task="question-answering",
        auto="AutoModelForQuestionAnswering",
        data={
            "train": "$VITRAIL_DATA/squadshifts/new_wiki_v1.0.json",
            "test": "$VITRAIL_DATA/xquad/xquad.en.json",
        },
        metric="f1",
        rows=2000,
        max_length=384,
        learning_rate=1e-4,
    ),
}


def run(name: str, folder: Path, seeds: int | None = None) -> list[dict[str, Any]]:
    """A line per contestant and seed, in an order that is drawn for each seed. seeds: None for those it has.

    The Trainer that groups by length runs in the first seed: its time is shown, and nothing is decided by it.
    """
    comparison, results = COMPARISONS[name], []
    train, test = _rows(comparison)
    for seed in comparison.seeds if seeds is None else range(seeds):
        start = _start(comparison, train, folder / f"start-{seed}", seed)
        contestants = (OURS, RANDOM) if results else (OURS, RANDOM, GROUPED)
        for contestant in random.Random(seed).sample(contestants, len(contestants)):
            trained = folder / f"{contestant}-{seed}"
            if contestant == OURS:
                seconds = _ours(comparison, train, start, trained, seed)
            else:
                seconds = _trainer(comparison, train, start, trained, seed, grouped=contestant == GROUPED)
            metrics = _score(comparison, trained, test) if test else {}
            results.append(
                {"recipe": name, "contestant": contestant, "seed": seed, "seconds": seconds, "metrics": metrics}
            )
            score = f", {comparison.metric} {100 * metrics[comparison.metric]:.2f}" if comparison.metric else ""
            print(f"{name}, seed {seed}, {contestant}: {seconds:.1f} s{score}", flush=True)
    return results


def ratios(lines: Sequence[dict[str, Any]], contestant: str) -> float:
    """Our time as a share of the contestant's: the median over the seeds that it has."""
    seconds = {(line["contestant"], line["seed"]): line["seconds"] for line in lines}
    seeds = [seed for who, seed in seconds if who == contestant]
    return statistics.median(seconds[OURS, seed] / seconds[contestant, seed] for seed in seeds)


def _rows(comparison: Comparison) -> tuple[Rows, Rows]:
    from vitrail.tasks import TASKS
    from vitrail.training.datasets import DataConfig, read_data

    if comparison.data is None:
        from benchmarks.texts import skewed_texts

        texts = skewed_texts(comparison.rows or 0)
        return [{"text": text, "label": str(number % 2)} for number, text in enumerate(texts)], []
    found = read_data(DataConfig(**comparison.data, limit=comparison.rows), TASKS[comparison.task].roles)
    return list(found.train), list(found.test)


def _start(comparison: Comparison, train: Rows, folder: Path, seed: int) -> Path:
    """The default model with a new head, as transformers saves it."""
    import transformers
    from transformers import AutoTokenizer

    from vitrail.checkpoints.hub import locate
    from vitrail.tasks import labels_of

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.set_seed(seed)
    labels = labels_of(comparison.task, train)
    named = (
        {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
        if labels
        else {}
    )
    model = str(locate(None).folder)
    getattr(transformers, comparison.auto).from_pretrained(model, **named).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def _ours(comparison: Comparison, train: Rows, start: Path, folder: Path, seed: int) -> float:
    import vitrail
    from vitrail.training.config import OptimizerConfig, TrainingConfig
    from vitrail.training.loop import Loop

    encoder = vitrail.load(str(start), task=comparison.task, device="cpu", max_length=comparison.max_length)
    began = time.perf_counter()
    examples = encoder.need_task().examples(train, encoder.need_tokenizer(), max_length=comparison.max_length)
    training = TrainingConfig(epochs=comparison.epochs, batch_size=comparison.batch_size, seed=seed)
    optimizer = OptimizerConfig(learning_rate=comparison.learning_rate, warmup=0)
    Loop(encoder, train=examples, training=training, optimizer=optimizer).run()
    seconds = time.perf_counter() - began
    encoder.save(folder)
    return seconds


def _trainer(comparison: Comparison, train: Rows, start: Path, folder: Path, seed: int, *, grouped: bool) -> float:
    import transformers
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    import vitrail

    ours = vitrail.load(str(start), task=comparison.task, device="cpu", max_length=comparison.max_length)
    network = getattr(transformers, comparison.auto).from_pretrained(start)
    tokenizer = AutoTokenizer.from_pretrained(start)
    began = time.perf_counter()
    examples = ours.need_task().examples(train, ours.need_tokenizer(), max_length=comparison.max_length)
    features = [feature for example in examples for feature in FEATURES[comparison.task](example)]
    collator = (
        transformers.DataCollatorForTokenClassification(tokenizer)
        if comparison.task == "token-classification"
        else transformers.DataCollatorWithPadding(tokenizer)
    )
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=comparison.epochs,
        per_device_train_batch_size=comparison.batch_size,
        learning_rate=comparison.learning_rate,
        weight_decay=0.01,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length" if grouped else "random",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=seed,
    )
    Trainer(model=network, args=arguments, train_dataset=features, data_collator=collator).train()
    seconds = time.perf_counter() - began
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return seconds


def _score(comparison: Comparison, folder: Path, test: Rows) -> dict[str, float]:
    import vitrail
    from vitrail.training.evaluation import evaluate

    encoder = vitrail.load(str(folder), task=comparison.task, device="cpu", max_length=comparison.max_length)
    task = encoder.need_task()
    examples = task.examples(test, encoder.need_tokenizer(), max_length=comparison.max_length)
    return evaluate(encoder, task, examples, batch_tokens=8192, batch_size=32).metrics


def _classification(example: Any) -> list[dict[str, Any]]:
    return [{**_inputs(example, 0), "labels": int(example.target)}]


def _tagging(example: Any) -> list[dict[str, Any]]:
    """The first token of each word bears its label."""
    labels = np.full(example.tokens, IGNORED)
    labels[example.place.tokens] = example.target.labels
    ends = np.cumsum([len(sequence) for sequence in example.sequences])[:-1]
    return [{**_inputs(example, n), "labels": some.tolist()} for n, some in enumerate(np.split(labels, ends))]


def _answering(example: Any) -> list[dict[str, Any]]:
    return [
        {**_inputs(example, n), "start_positions": int(start), "end_positions": int(end)}
        for n, (start, end) in enumerate(example.target.spans)
    ]


def _inputs(example: Any, number: int) -> dict[str, list[int]]:
    ids = example.sequences[number].tolist()
    types = example.token_type_ids[number].tolist() if example.token_type_ids is not None else [0] * len(ids)
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": types}


FEATURES: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
    "text-classification": _classification,
    "token-classification": _tagging,
    "question-answering": _answering,
}
"""An example as the rows that the Trainer takes: one for each of its sequences."""
