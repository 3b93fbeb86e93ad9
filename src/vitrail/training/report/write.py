"""`report.md` of a run and its pictures, from the files of its folder and the data that its configuration names.

What cannot be said of a task (the calibration of an embedding, say) is left out.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vitrail.errors import FileFormatError
from vitrail.files.markdown import code, table
from vitrail.intervals import DRAWS
from vitrail.pictures.confusion import draw_confusion
from vitrail.pictures.curves import draw_curves
from vitrail.pictures.reliability import draw_reliability
from vitrail.pictures.scores import draw_scores
from vitrail.tasks import TASKS
from vitrail.training.baselines import baselines
from vitrail.training.datasets import Data, DataConfig, read_data
from vitrail.training.report.advice import advice
from vitrail.training.report.classification import calibration, confused_pairs, confusion, suspects
from vitrail.training.report.run_files import RunFiles, read_run
from vitrail.training.report.scoring import beside_baselines, classification_score, tagging_score

SHOWN_PAIRS = 10
WIDEST_TEXT = 160
FEW_ROWS = 50


def write_report(run_folder: Path | str) -> Path:
    """Write the report of a finished run beside its files, and return its path.

    Raises `FileFormatError` where the log or the data cannot be read any more.
    """
    run = read_run(Path(run_folder))
    task = run.config["task"]["name"]
    data = read_data(DataConfig.model_validate(run.config["data"]), TASKS[task].roles)
    metric = run.config.get("training", {}).get("watch") or next(iter(run.metrics), None)
    lines = [f"# Report: {run.folder.resolve().name}", "", f"Task {task}; {sizes(data)}.", ""]
    overconfidence = None
    if run.predictions:
        refuse_other_rows(run, data)
        lines += beside(run, task, data)
        if classified(run):
            overconfidence = calibration(run.predictions).overconfidence
    if metric is not None:
        lines += curves(run, metric, overconfidence)
    if classified(run):
        lines += [*mistakes(run), *trust(run), *doubtful(run, data)]
    path = run.folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def refuse_other_rows(run: RunFiles, data: Data) -> None:
    """Predictions stand in the order of the validation rows, each with the number of its row."""
    if [entry["row"] for entry in run.predictions] != [row["row"] for row in data.validation]:
        raise FileFormatError(
            f"the predictions in {run.folder} are of other rows than the validation data that config.yaml names; "
            "have the files changed since the run?"
        )


def sizes(data: Data) -> str:
    parts = [f"{len(rows):,} {name} rows" for name, rows in splits(data).items() if rows]
    dropped = sum(data.dropped.values())
    return ", ".join(parts) + (f" ({dropped:,} copies were left out)" if dropped else "")


def splits(data: Data) -> dict[str, list[dict[str, Any]]]:
    return {"training": data.train, "validation": data.validation, "test": data.test}


def classified(run: RunFiles) -> bool:
    """Each prediction is one label with a probability for each."""
    return bool(run.predictions) and all(
        isinstance(entry["gold"], str) and entry["prediction"] in entry.get("probabilities", ())
        for entry in run.predictions
    )


def beside(run: RunFiles, task: str, data: Data) -> list[str]:
    """The score with its interval, beside the baselines."""
    gold = [entry["gold"] for entry in run.predictions]
    if classified(run):
        name, score_of, found = "accuracy", classification_score, [entry["prediction"] for entry in run.predictions]
    elif task == "token-classification":
        name, score_of, found = "span F1", tagging_score, [entry["prediction"]["tags"] for entry in run.predictions]
    else:
        return []
    others = baselines(task, data.train, data.validation, seed=run.config["data"].get("seed", 0))
    scores = beside_baselines(score_of, found, others, gold, seed=0)
    draw_scores(
        run.folder / "report" / "scores.png",
        {name: own for name, (own, _) in scores.items()},
        title=f"{name} on the {len(gold):,} validation rows, with 95 % intervals",
    )
    rows = [(name, str(own), "" if less is None else verdict(less)) for name, (own, less) in scores.items()]
    return [
        "## Is it good?",
        "",
        *table(["", f"{name} (95 % of {DRAWS:,} bootstrap draws)", "this run is better by"], rows),
        "",
        "![scores](report/scores.png)",
        "",
        *few_rows(len(gold)),
    ]


def few_rows(rows: int) -> list[str]:
    """With few rows the draws are too alike: where all are right, the interval has no width at all."""
    if rows >= FEW_ROWS:
        return []
    return [
        f"These are {rows} rows, of which each weighs {100 / rows:.0f} points: the intervals are too narrow to choose "
        f"by. Bring {FEW_ROWS} validation rows or more.",
        "",
    ]


def verdict(difference: Any) -> str:
    """An interval that holds 0 is no difference that these rows can show."""
    return f"{difference}" + ("; no significant difference" if difference.low <= 0 <= difference.high else "")


def curves(run: RunFiles, metric: str, overconfidence: float | None) -> list[str]:
    names = [metric, *(name for name in ("loss",) if name != metric and name in run.metrics)]
    validation = run.line("validation", metric)
    if not validation:
        return []
    sign = -1 if metric == "loss" else 1
    best_step, best = max(validation, key=lambda point: (sign * point[1], -point[0]))
    epoch = next(
        entry["epoch"] for entry in run.evaluations if entry["split"] == "validation" and entry["step"] == best_step
    )
    panels = {
        name: {
            shown: points
            for shown, split in (("training probe", "train_probe"), ("validation", "validation"))
            if (points := run.line(split, name))
        }
        for name in names
    }
    draw_curves(run.folder / "report" / "curves.png", panels, best=best_step)
    everything = [entry for entry in run.evaluations if entry["split"] == "validation" and entry["step"] == best_step]
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in everything[-1]["metrics"].items())
    return [
        "## How it went",
        "",
        f"Best {metric} {best:.4f} at step {best_step:g} (epoch {epoch:g}): {metrics}. "
        "The training probe is scored as the validation rows are, in eval mode.",
        "",
        "![curves](report/curves.png)",
        "",
        f"**{advice(run, metric, best_step=best_step, overconfidence=overconfidence)}**",
        "",
    ]


def mistakes(run: RunFiles) -> list[str]:
    pairs = confused_pairs(run.predictions)
    if not pairs:
        return ["## Mistakes", "", "There are none on the validation rows.", ""]
    counts, labels = confusion(run.predictions)
    totals = np.array([sum(entry["gold"] == label for entry in run.predictions) for label in labels])
    _, said = draw_confusion(run.folder / "report" / "confusion.png", counts, labels, totals=totals)
    everything = {entry["gold"] for entry in run.predictions} | {entry["prediction"] for entry in run.predictions}
    left_out = len(everything) - len(labels)
    rows = [(code(gold), code(found), str(count)) for count, gold, found in pairs[:SHOWN_PAIRS]]
    total = sum(count for count, _, _ in pairs)
    return [
        "## Mistakes",
        "",
        f"{total:,} of {len(run.predictions):,} validation rows, in {len(pairs):,} pairs of labels."
        + f" The picture has the {len(labels)} labels of {len(everything)} with the most mistakes." * bool(left_out),
        *([said] if said else []),
        "",
        *table(["labelled", "predicted", "rows"], rows),
        "",
        "![confusion](report/confusion.png)",
        "",
    ]


def trust(run: RunFiles) -> list[str]:
    found = calibration(run.predictions)
    draw_reliability(
        run.folder / "report" / "calibration.png",
        confidence=found.confidence,
        accuracy=found.accuracy,
        share=found.share,
        error=found.error,
    )
    over = found.overconfidence
    words = "surer than right" if over > 0 else "less sure than right"
    return [
        "## How far its confidence can be trusted",
        "",
        f"Expected calibration error {found.error:.3f} (10 bins); on average it is {abs(over):.3f} {words}.",
        "",
        "![calibration](report/calibration.png)",
        "",
    ]


def doubtful(run: RunFiles, data: Data) -> list[str]:
    found = suspects(run.predictions)
    if not found:
        return []
    row_of = {id(entry): row for entry, row in zip(run.predictions, data.validation, strict=True)}
    rows = []
    for entry in found:
        row = row_of[id(entry)]
        text = " | ".join(str(row[name]) for name in ("text", "text_pair") if name in row)
        sure = entry["probabilities"][entry["prediction"]]
        place = f"{Path(str(row['source'])).name} {row['row']}"
        rows.append((place, code(entry["gold"]), f"{code(entry['prediction'])} {sure:.3f}", short(text)))
    return [
        "## Labels to look at",
        "",
        "Validation rows whose label the model finds least likely while it is sure of another. Some are its mistakes, "
        "some those of the labels; rows count from 0.",
        "",
        *table(["file, row", "label", "predicted", "text"], rows),
        "",
    ]


def short(text: str) -> str:
    return text if len(text) <= WIDEST_TEXT else text[: WIDEST_TEXT - 1] + "…"
