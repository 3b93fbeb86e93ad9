"""The report of a run: what it says is what the files of the run say, and what it cannot say it leaves out."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.training.report.run_folders import classifier, evaluation, log, write_lines
from tests.training.roles import CLASSIFICATION

from vitrail.errors import FileFormatError
from vitrail.files.markdown import cell, table
from vitrail.intervals import bootstrap
from vitrail.training.datasets import DataConfig, read_data
from vitrail.training.report import write_report
from vitrail.training.report.advice import advice
from vitrail.training.report.classification import calibration, confused_pairs, confusion, suspects
from vitrail.training.report.run_files import RunFiles
from vitrail.training.report.scoring import classification_score, tagging_score
from vitrail.training.report.write import few_rows


def run_of(points, **config):
    evaluations = [entry for entry in log(points) if entry["event"] == "evaluation"]
    return RunFiles(folder=Path("run"), config=config, evaluations=evaluations, predictions=[])


def prediction(gold, found, sure):
    other = {"a": "b", "b": "a"}[found]
    return {"row": 0, "gold": gold, "prediction": found, "probabilities": {found: sure, other: 1 - sure}}


def test_a_classifiers_report_has_the_score_beside_the_baselines_and_all_pictures(tmp_path):
    path = write_report(classifier(tmp_path / "run"))
    text = path.read_text(encoding="utf-8")

    assert "40 training rows, 120 validation rows" in text
    assert "| this run | 0.800 (" in text
    assert "| majority | 0.500 (" in text
    assert "| TF-IDF of words + LR | 1.000 (1.000 to 1.000) |" in text
    assert "Best accuracy 0.8500 at step 20 (epoch 2)" in text
    assert "24 of 120 validation rows" in text
    assert "too narrow" not in text
    assert "Expected calibration error 0.1" in text
    assert "dev.jsonl " in text
    for name in ("scores", "curves", "confusion", "calibration"):
        head = (tmp_path / "run" / "report" / f"{name}.png").read_bytes()[:24]
        width, height = struct.unpack(">II", head[16:24])
        assert head[:4] == b"\x89PNG"
        assert min(width, height) > 100
        assert f"report/{name}.png" in text


def test_few_validation_rows_are_said_to_be_few():
    assert few_rows(12)[0].startswith("These are 12 rows, of which each weighs 8 points")
    assert few_rows(50) == []


def test_a_part_set_aside_is_paired_with_its_own_rows_and_other_rows_are_refused(tmp_path):
    folder = classifier(tmp_path / "run")
    data = DataConfig(train=str(folder / "dev.jsonl"), validation=0.25)
    config = {"task": {"name": "text-classification"}, "data": data.model_dump(mode="json")}
    (folder / "config.yaml").write_text(json.dumps(config))
    rows = read_data(data, CLASSIFICATION).validation
    wrong = {"ham": "spam", "spam": "ham"}
    predictions = [
        {"row": row["row"], "gold": row["label"], "prediction": wrong[row["label"]]}
        | {"probabilities": {wrong[row["label"]]: 0.9, row["label"]: 0.1}}
        for row in rows
    ]
    write_lines(folder / "predictions.jsonl", predictions)

    text = write_report(folder).read_text()

    assert f"| dev.jsonl {rows[0]['row']} | `{rows[0]['label']}` |" in text
    assert cell(rows[0]["text"]) in text
    write_lines(folder / "predictions.jsonl", predictions[1:])
    with pytest.raises(FileFormatError, match="other rows than the validation data"):
        write_report(folder)


def test_labels_that_no_font_can_draw_are_numbers_with_a_legend(tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.pictures.glyphs._installed", lambda: {})

    text = write_report(classifier(tmp_path / "run", labels=("好评", "差评"))).read_text(encoding="utf-8")

    assert "labels are numbers: 1 = 好评, 2 = 差评" in text or "labels are numbers: 1 = 差评, 2 = 好评" in text
    assert "| `差评` | `好评` |" in text


def test_a_run_of_another_task_has_curves_only(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_lines(folder / "pairs.jsonl", [{"text": "a", "text_pair": "b", "score": 1.0}])
    data = {"train": str(folder / "pairs.jsonl"), "validation": str(folder / "pairs.jsonl")}
    (folder / "config.yaml").write_text(json.dumps({"task": {"name": "embedding"}, "data": data}))
    write_lines(
        folder / "log.jsonl", [evaluation(5, "validation", spearman=0.8), evaluation(9, "validation", spearman=0.7)]
    )

    text = write_report(folder).read_text()

    assert "Best spearman 0.8000 at step 5" in text
    assert "calibration" not in text


def test_taggers_are_scored_by_spans_beside_the_most_frequent_tag(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a.bio").write_text("Ada B-X\nslept O\n\nBob B-X\nwoke O\n\nAda B-X\nran O\n")
    data = {"train": str(folder / "a.bio"), "validation": str(folder / "a.bio")}
    (folder / "config.yaml").write_text(json.dumps({"task": {"name": "token-classification"}, "data": data}))
    write_lines(folder / "log.jsonl", [evaluation(5, "validation", f1=0.5)])
    tags = (["B-X", "O"], ["O", "O"], ["O", "O"])
    write_lines(
        folder / "predictions.jsonl",
        [{"row": row, "gold": ["B-X", "O"], "prediction": {"tags": found}} for row, found in enumerate(tags)],
    )

    text = write_report(folder).read_text()

    assert "| this run | 0.500 (" in text
    assert "| most frequent tag | 1.000 (1.000 to 1.000)" in text


def test_calibration_is_what_the_counts_say():
    entries = [prediction("a", "a", 0.95)] * 6 + [prediction("b", "a", 0.95)] * 2 + [prediction("b", "b", 0.65)] * 2

    found = calibration(entries)

    assert found.error == pytest.approx(0.8 * (0.95 - 0.75) + 0.2 * (1 - 0.65))
    assert found.overconfidence == pytest.approx(0.8 * 0.2 - 0.2 * 0.35)
    assert found.share[6] == pytest.approx(0.2)


def test_confusion_counts_and_suspects_are_the_sure_mistakes_worst_first():
    entries = [
        prediction("a", "a", 0.9),
        prediction("a", "b", 0.85),
        prediction("b", "a", 0.99),
        prediction("a", "b", 0.6),
    ]

    counts, labels = confusion(entries)

    assert (counts.tolist(), labels) == ([[1, 2], [1, 0]], ["a", "b"])
    assert confused_pairs(entries) == [(2, "a", "b"), (1, "b", "a")]
    assert suspects(entries) == [entries[2], entries[1]]


def test_an_interval_is_near_the_binomial_one_and_a_paired_difference_narrower_than_an_unpaired():
    generator = np.random.default_rng(1)
    gold = ["x"] * 400
    one = ["x" if right else "y" for right in generator.random(400) < 0.8]
    other = [found if keep else "y" for found, keep in zip(one, generator.random(400) < 0.97, strict=True)]

    (own, _), (difference,) = bootstrap(400, classification_score(one, gold), classification_score(other, gold))

    deviation = 1.96 * np.sqrt(own.mean * (1 - own.mean) / 400)
    assert own.high - own.low == pytest.approx(2 * deviation, rel=0.15)
    assert difference.low > 0
    assert difference.high - difference.low < own.high - own.low


def test_span_f1_is_taken_over_all_rows_together():
    score = tagging_score([["B-X", "I-X", "O"], ["B-Y", "O", "O"]], [["B-X", "I-X", "O"], ["B-X", "O", "O"]])

    assert score(np.array([0, 1])) == pytest.approx(0.5)
    assert score(np.array([0, 0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("points", "best", "overconfidence", "words"),
    [
        (((10, 0.8, 0.80), (20, 0.9, 0.85), (30, 0.99, 0.80)), 20, None, "overfits after its best step"),
        (((10, 0.8, 0.70), (20, 0.99, 0.80)), 20, None, "optimizer.freeze"),
        (((10, 0.8, 0.70), (20, 0.99, 0.80)), 20, 0.1, "label_smoothing: 0.1"),
        (((10, 0.6, 0.60), (20, 0.7, 0.70)), 20, None, "Try more epochs"),
        (((10, 0.6, 0.60), (20, 0.7, 0.70), (30, 0.7, 0.70)), 20, None, "More or other training rows"),
        (((10, 0.6, 0.60),), 10, None, "Too few evaluations"),
    ],
)
def test_one_suggestion_follows_from_what_was_measured(points, best, overconfidence, words):
    assert words in advice(run_of(points), "accuracy", best_step=float(best), overconfidence=overconfidence)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (((10, 0.8, 0.50), (20, 0.9, 0.60), (30, 0.99, 0.40)), "rises to 0.600 by step 30: the run overfits"),
        (((10, 0.8, 0.50), (20, 0.99, 0.60)), "it overfits"),
        (((10, 0.6, 0.60), (20, 0.7, 0.70)), "no sign of overfitting"),
    ],
)
def test_a_watched_loss_overfits_where_it_is_higher_in_validation(points, words):
    best = max(points, key=lambda point: point[2])[0]

    assert words in advice(run_of(points), "loss", best_step=float(best))


def test_what_a_text_holds_is_no_markup_in_a_table():
    assert cell("a | b <script> *c*\n`d|e`") == "a \\| b \\<script\\> \\*c\\* `d\\|e`"
    assert table(["a"], [["b"]]) == ["| a |", "| --- |", "| b |"]
