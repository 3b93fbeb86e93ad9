"""Folders of runs that were never trained: what a run writes, with numbers chosen here."""

import json

import numpy as np


def write_lines(path, entries):
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


def evaluation(step, split, **metrics):
    return {"event": "evaluation", "epoch": step / 10, "step": step, "split": split, "metrics": metrics}


def log(points):
    """points: (step, probe, validation) of the accuracy; the loss is 1 less it."""
    entries = [{"event": "step", "step": 1, "loss": 0.7, "learning_rate": 1e-5, "gradient_norm": 1.0}]
    for step, probe, validation in points:
        entries.append(evaluation(step, "train_probe", accuracy=probe, loss=1 - probe))
        entries.append(evaluation(step, "validation", accuracy=validation, loss=1 - validation))
    return entries


def classifier(folder, *, labels=("ham", "spam"), rows=120, right=0.8, points=((10, 0.8, 0.7), (20, 0.9, 0.85))):
    """A run on texts that hold their label's word, with a part `right` of the predictions right, and sure of all."""
    generator = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    train = [{"text": f"{label} is text {i}", "label": label} for i in range(20) for label in labels]
    validation = [
        {"text": f"about | {labels[i % len(labels)]} {i}", "label": labels[i % len(labels)]} for i in range(rows)
    ]
    write_lines(folder / "train.jsonl", train)
    write_lines(folder / "dev.jsonl", validation)
    predictions = []
    for number, row in enumerate(validation):
        other = labels[(labels.index(row["label"]) + 1) % len(labels)]
        said = row["label"] if number < right * rows else other
        sure = float(generator.uniform(0.82, 0.99))
        rest = (1 - sure) / (len(labels) - 1)
        probabilities = {label: sure if label == said else rest for label in labels}
        predictions.append({"row": number, "gold": row["label"], "prediction": said, "probabilities": probabilities})
    data = {"train": str(folder / "train.jsonl"), "validation": str(folder / "dev.jsonl")}
    config = {"task": {"name": "text-classification"}, "data": data, "training": {"watch": None}}
    (folder / "config.yaml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    write_lines(folder / "log.jsonl", log(points))
    write_lines(folder / "predictions.jsonl", predictions)
    return folder
