"""Training beside the reference trainer: the same weights, texts, order of magnitude of everything, and steps.

    python -m benchmarks.training [--steps 12] [--rounds 3] [--batch-size 32] [--max-length 128] [--data DIR]

Two labels on texts of skewed lengths; AdamW, linear schedule, clipping at 1, dropout as the model has it. In each round
every contestant trains once from the published weights, in an order that is drawn anew. Results are appended to
benchmarks/results/training.jsonl. `group_by_length` is the reference trainer's own remedy for padding.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.texts import skewed_texts

RESULTS = Path(__file__).parent / "results" / "training.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--data", type=Path, default=os.environ.get("VITRAIL_DATA"))
    options = parser.parse_args()
    from vitrail.checkpoints.hub import locate

    model = str(locate(None).folder)
    texts = skewed_texts(options.steps * options.batch_size, data=options.data)
    rows = [{"text": text, "label": str(number % 2)} for number, text in enumerate(texts)]
    shared = {"model": model, "rows": rows, "batch_size": options.batch_size, "max_length": options.max_length}
    contestants: dict[str, Callable[[], float]] = {
        "vitrail": vitrail_run(**shared),
        "transformers Trainer": trainer_run(**shared, group_by_length=False),
        "transformers Trainer, group_by_length": trainer_run(**shared, group_by_length=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(options.rounds):
        for name in random.Random(number).sample(sorted(contestants), len(contestants)):
            seconds[name].append(contestants[name]())
    run = {"run": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    described = {"steps": options.steps, "batch_size": options.batch_size, "max_length": options.max_length}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        for name, times in seconds.items():
            ratio = statistics.median(b / a for a, b in zip(seconds["vitrail"], times, strict=True))
            line = {
                "contestant": name,
                "seconds": statistics.median(times),
                "all": times,
                "vitrail_is_faster_by": ratio,
            }
            stream.write(json.dumps({**run, "measurement": "training", **described, **line}) + "\n")
            print(f"{name:40} {statistics.median(times):7.2f} s   {ratio:.2f} x")


def vitrail_run(*, model: str, rows: Sequence[dict], batch_size: int, max_length: int) -> Callable[[], float]:
    import torch

    import vitrail
    from vitrail.training.config import OptimizerConfig, TrainingConfig
    from vitrail.training.loop import Loop

    def run() -> float:
        encoder = vitrail.load(model, device="cpu", max_length=max_length)
        torch.manual_seed(0)
        encoder.attach(encoder.new_task("text-classification", labels=("0", "1")))
        began = time.perf_counter()  # tokenising counts, as it does in the trainer's collation or map
        examples = encoder.task.examples(rows, encoder.tokenizer, max_length=max_length)
        training = TrainingConfig(epochs=1, batch_size=batch_size)
        Loop(encoder, train=examples, training=training, optimizer=OptimizerConfig(warmup=0)).run()
        return time.perf_counter() - began

    return run


def trainer_run(
    *, model: str, rows: Sequence[dict], batch_size: int, max_length: int, group_by_length: bool
) -> Callable[[], float]:
    import transformers
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model)

    def run() -> float:
        network = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
        began = time.perf_counter()
        encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)
        data = [
            {**{name: encoded[name][number] for name in encoded}, "labels": int(row["label"])}
            for number, row in enumerate(rows)
        ]
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=batch_size,
                learning_rate=5e-5,
                weight_decay=0.01,
                lr_scheduler_type="linear",
                max_grad_norm=1.0,
                train_sampling_strategy="group_by_length" if group_by_length else "random",
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                seed=0,
            )
            collator = transformers.DataCollatorWithPadding(tokenizer)
            Trainer(model=network, args=arguments, train_dataset=data, data_collator=collator).train()
        return time.perf_counter() - began

    return run


if __name__ == "__main__":
    main()
