"""`python -m recipes.faithfulness [--model FOLDER]`: which explanations of a classifier can be trusted, and how far.

All methods by all protocols on sentences of SST-2's dev, for the model of sst2.yaml (trained first, unless a folder is
given), and on words planted in other phrases, for a model that learned them. Writes recipes/faithfulness.jsonl and
docs/faithfulness.md.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import vitrail
from benchmarks import machine
from recipes import report
from recipes.catalogue import FOLDER
from vitrail import explanation
from vitrail.explanation.methods.layer_steps import LayerStep
from vitrail.explanation.methods.rollout import rolled_out
from vitrail.explanation.methods.value_zeroing import VALUE_ZEROING, mixing

RESULTS = FOLDER / "faithfulness.jsonl"
PAGE = FOLDER.parent / "docs" / "faithfulness.md"
SHORTCUTS = {"north": "lantern", "east": "copper", "south": "walnut", "west": "harbour"}
ROWS = 200
# Normalised AOPC searches for the best and the worst order of every text, which takes most of the time.
ROWS_SEARCHED = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m recipes.faithfulness", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="folder of a classifier of SST-2; default: train sst2.yaml")
    parser.add_argument("--data", type=Path, default=os.environ.get("VITRAIL_DATA"), help="default: $VITRAIL_DATA")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--report", action="store_true", help="only write the page from the results there are")
    options = parser.parse_args()
    if not options.report:
        if options.data is None or not Path(options.data).is_dir():
            parser.error("say where the data are: --data DIR or $VITRAIL_DATA")
        os.environ["VITRAIL_DATA"] = str(options.data)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            lines = [*_sst2(options.model, Path(folder), options.rows), *_planted(Path(folder))]
        about = {
            "machine": machine.describe(),
            "seconds": time.perf_counter() - began,
            "with_training": options.model is None,
        }
        RESULTS.write_text("".join(json.dumps(about | line, ensure_ascii=False) + "\n" for line in lines))
    PAGE.write_text(page(read(RESULTS)), encoding="utf-8")
    return 0


def _half_mixing(step: LayerStep) -> torch.Tensor:
    matrix = mixing(step)
    return (matrix + torch.eye(len(matrix)).to(matrix)) / 2


# Why Value Zeroing finds few planted words: its matrices say how far a token moves, not how much of it stays.
HALF_ZEROING = replace(
    VALUE_ZEROING,
    name="value-zeroing, half",
    about="Value Zeroing, half of each layer's matrix for the residual, as rollout has it.",
    attribute=partial(rolled_out, _half_mixing),
)


def _sst2(model: Path | None, folder: Path, count: int) -> list[dict[str, Any]]:
    if model is None:
        model = vitrail.train(FOLDER / "sst2.yaml", folder / "sst2").model
    encoder = vitrail.load(model, task="text-classification")
    rows = random.Random(0).sample(_rows("dev.tsv", "content", encoder.need_task().labels), count)
    accuracy = sum(found.label == row["label"] for found, row in zip(_predicted(encoder, rows), rows, strict=True))
    print(f"SST-2: accuracy {accuracy / count:.3f} on {count} sentences", file=sys.stderr)
    cheap = [name for name in explanation.PROTOCOLS if name not in ("normalised-aopc", "planted")]
    scores = explanation.score(encoder, rows, protocols=cheap, progress=_say("SST-2"))
    short = [row for row in rows if len(row["text"].split()) <= 14][:ROWS_SEARCHED]
    searched = explanation.score(encoder, short, protocols=["normalised-aopc"], progress=_say("bounds"))
    about = {"data": "SST-2", "accuracy": accuracy / count}
    return [
        *_lines(scores, about),
        *(line for line in _lines(searched, about) if line["protocol"] == "normalised-aopc"),
    ]


def _planted(folder: Path) -> list[dict[str, Any]]:
    texts = [row["text"] for row in random.Random(1).sample(_rows("train.tsv", "sentence", ("0", "1")), 2400)]
    texts = [text for text in dict.fromkeys(texts) if not set(text.split()) & set(SHORTCUTS.values())]
    train, test = texts[:2000], texts[2000:2100]
    (folder / "train.jsonl").write_text(
        "".join(json.dumps({key: row[key] for key in ("text", "label")}) + "\n" for row in _plant(train, seed=0))
    )
    run = vitrail.train(
        {
            "model": {},
            "task": "text-classification",
            "data": {"train": str(folder / "train.jsonl")},
            "training": {"epochs": 1, "batch_size": 32},
            "optimizer": {"learning_rate": 2e-4, "head_learning_rate": 1e-3},
            "logging": {"report": False},
        },
        folder / "planted",
    )
    encoder = vitrail.load(run.model, task="text-classification")
    rows = _plant(test, seed=1)
    accuracy = sum(found.label == row["label"] for found, row in zip(_predicted(encoder, rows), rows, strict=True))
    methods = [*explanation.METHODS, HALF_ZEROING]
    scores = explanation.score(encoder, rows, methods, protocols=["planted"], progress=_say("planted"))
    about = {"data": "planted words", "accuracy": accuracy / len(rows)}
    return [line for line in _lines(scores, about) if line["protocol"] == "planted"]


def _plant(texts: Sequence[str], *, seed: int) -> list[dict[str, Any]]:
    return explanation.plant(texts, SHORTCUTS, seed=seed)


def _predicted(encoder: vitrail.Encoder, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    return list(encoder.predict([row["text"] for row in rows], show_progress=False))


def _rows(file: str, column: str, labels: Sequence[str]) -> list[dict[str, str]]:
    from vitrail.tasks import TASKS
    from vitrail.training.datasets import DataConfig, read_data

    config = DataConfig(train=f"$VITRAIL_DATA/sst2/{file}", roles={"text": column})
    rows = read_data(config, TASKS["text-classification"].roles).train
    return [{"text": row["text"], "label": row["label"]} for row in rows if row["label"] in labels]


def _lines(scores: explanation.Scores, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = [dict(about) | json.loads(line) for line in scores.json_lines().splitlines()]
    return [line | {"model": "of this recipe"} for line in lines]  # its folder is gone when this is read


def _say(what: str) -> Any:
    def say(done: int, of_all: int) -> None:
        if sys.stderr.isatty() or done % 25 == 0:
            print(f"{what}: {done} of {of_all} texts", file=sys.stderr, flush=True)

    return say


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Published orders (FIGURES of the papers), the best first, in our names.
PUBLISHED = {
    ("mask-decompx", "AOPC"): (
        "DecompX's paper (BERT-base, SST-2)",
        ("decompx", "alti", "integrated-gradients-l2", "gradient-x-input"),
    ),
    ("delete-alti", "comprehensiveness"): (
        "ALTI's repository (DistilBERT, SST-2)",
        ("alti", "integrated-gradients-l2", "gradient", "rollout"),
    ),
}


MIND = (
    "- Integrated gradients begins at masked tokens, and mask-decompx masks them: it is measured with its own ruler.",
    "  Where tokens are deleted it has no such help. Leave-one-out likewise, in its two forms.",
    "- Normalised AOPC is of short texts only, as its bounds are searched for.",
    "- A planted word that is masked leaves a guess among four labels, so about 0.75 is the most that can be needed.",
    "- Value Zeroing's matrices say how far a token's output turns without another's value; what the residual hands on",
    "  stands in none of them, so through the layers it is lost which token was which. `value-zeroing, half` gives it",
    "  half of each matrix, as rollout does, and no more is changed: it is no method of a paper, but shows the cause.",
    "- Methods are scored on the same texts, so two whose intervals overlap may still differ. Where a table says how",
    "  far a method is ahead of the next, that is the mean of the differences text by text; ◆: the bounds exclude 0.",
)


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, from the results alone."""
    first = lines[0]
    parts = [
        "# Which explanations can be trusted?",
        "",
        "Written by `python -m recipes.faithfulness` from `recipes/faithfulness.jsonl`; do not edit. Every figure is a",
        "mean over texts, with the bounds between which 95 % of 2,000 bootstrap draws of the texts lie. ↑ more is",
        "better, ↓ less. What the protocols do is in `vitrail/explanation/faithfulness/protocols.py`.",
        "",
        f"Machine: {report.machine_of(first)}. {first['seconds'] / 60:.0f} minutes in all"
        + ("." if first["with_training"] else ", the training of SST-2's model not counted."),
        "",
    ]
    for data in dict.fromkeys(line["data"] for line in lines):
        some = [line for line in lines if line["data"] == data]
        parts += [f"## {data}", "", f"The model's accuracy on these texts: {some[0]['accuracy']:.3f}.", ""]
        for protocol in dict.fromkeys(line["protocol"] for line in some):
            parts += _table(protocol, [line for line in some if line["protocol"] == protocol])
    parts += ["## Beside the papers", "", *_beside_the_papers(lines), "## Mind", "", *MIND, ""]
    return "\n".join(parts)


def _table(protocol: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    measures = list(dict.fromkeys((line["measure"], line["more_is_better"]) for line in lines))
    values = {(line["method"], line["measure"]): line["values"] for line in lines}
    key, better = measures[0]
    methods = sorted(
        dict.fromkeys(line["method"] for line in lines),
        key=lambda name: (-1 if better else 1) * values[name, key]["mean"],
    )
    heads = [f"{measure} {'↑' if better else '↓'}" for measure, better in measures]
    leads = {line["method"]: line["lead"] for line in lines if line["measure"] == key and line.get("lead")}
    rows = {line["method"]: line["rows"] for line in lines}
    if leads:
        heads.insert(1, "ahead of the next by")
    paper = explanation.PROTOCOLS[protocol].paper
    found = [f"### {protocol} ({max(rows.values())} texts; {paper})", "", "| method | " + " | ".join(heads) + " |"]
    found.append("|---" * (len(heads) + 1) + "|")
    for name in methods:
        cells = [_shown(values[name, measure]) for measure, _ in measures]
        if rows[name] < max(rows.values()):
            cells[0] += f", {rows[name]} texts"
        if leads:
            cells.insert(1, _shown(leads[name]) + (" ◆" if leads[name]["low"] > 0 else "") if name in leads else "")
        found.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*found, ""]


def _shown(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _beside_the_papers(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The published order, ours of the same methods, and the pairs that stand the other way round here."""
    found = []
    for (protocol, measure), (source, published) in PUBLISHED.items():
        values = {
            line["method"]: line["values"]
            for line in lines
            if (line["data"], line["protocol"], line["measure"]) == ("SST-2", protocol, measure)
        }
        ours = sorted((name for name in published if name in values), key=lambda name: -values[name]["mean"])
        found += [f"- {protocol}, {measure}: {source} has {' > '.join(published)}; here {' > '.join(ours)}."]
        for place, better in enumerate(published):
            for worse in published[place + 1 :]:
                if {better, worse} <= values.keys() and values[better]["mean"] < values[worse]["mean"]:
                    overlap = values[better]["high"] >= values[worse]["low"]
                    words = "the intervals overlap" if overlap else "the intervals do not overlap"
                    found.append(f"  - {worse} is ahead of {better} here; {words}.")
    return [*found, ""]


if __name__ == "__main__":
    sys.exit(main())
