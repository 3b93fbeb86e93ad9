"""The recipes can be run: their configurations are valid, their headers say how, the page says what the results say."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from recipes.__main__ import RESULTS
from recipes.beside import COMPARISONS, FEATURES, GROUPED, IGNORED, OURS, RANDOM, ratios
from recipes.catalogue import FOLDER, RECIPES
from recipes.smaller import SIMPLIFIED

from recipes import report
from vitrail.api import Encoder
from vitrail.compression.simplify.config import SimplifyConfig
from vitrail.training.building import described
from vitrail.training.config_files import read_as, read_config

CONFIGURATIONS = sorted(file for file in FOLDER.glob("*.yaml") if file.stem not in SIMPLIFIED)


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_a_configuration_is_valid_and_in_the_catalogue(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("VITRAIL_DATA", str(tmp_path))

    config = read_config(file)

    assert file.stem in RECIPES
    assert config.data.test is not None
    if config.model.spec is not None:
        described(config.model.spec, vocab_size=100, padding_id=0)


@pytest.mark.parametrize("file", sorted((FOLDER / "pretraining").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_pretraining_is_valid_and_belongs_to_a_recipe(file: Path):
    config = read_config(file)

    assert file.stem in RECIPES
    assert config.task.name == "fill-mask"
    assert config.model.spec is not None
    assert config.data.test is None


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_a_header_says_the_data_the_score_and_the_command(file: Path):
    header = "".join(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))

    assert "$VITRAIL_DATA" in header
    assert "Score to expect" in header
    assert f"vitrail train recipes/{file.name}" in header


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_the_score_in_a_header_is_the_recorded_one(file: Path):
    header = file.read_text(encoding="utf-8")
    lines = report.last_results(RESULTS).get(file.stem, [])
    if not lines:
        assert "Score to expect: none recorded yet" in header
        return
    expected = re.search(r"Score to expect: [^.,(]*?([\d.]+\d)", header)

    assert expected is not None
    recorded = statistics.mean(100 * line["metrics"][RECIPES[file.stem].metric] for line in lines)
    assert float(expected[1]) == pytest.approx(recorded, abs=0.1)


@pytest.mark.parametrize("name", SIMPLIFIED)
def test_a_simplification_is_valid_and_begins_with_a_recipe(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("VITRAIL_DATA", str(tmp_path))

    config = read_as(SimplifyConfig, FOLDER / f"{name}.yaml")

    assert (FOLDER / f"{SIMPLIFIED[name]}.yaml") in CONFIGURATIONS
    assert config.distill is not None
    assert f"vitrail simplify recipes/{name}.yaml" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("times", "score", "fails"), [(1.6, 0.89, False), (1.6, 0.87, True), (1.4, 0.9, True)])
def test_a_simplification_fails_where_nothing_is_both_fast_and_good(times: float, score: float, fails: bool):
    whole = {"whole": True, "times": 1.0, "score": {"mean": 0.895}, "tolerance": 0.01}
    lines = [whole, {"whole": False, "times": times, "score": {"mean": score}, "tolerance": 0.01}]

    assert bool(report.failing({"simplify-sst2": lines})) == fails


def test_the_page_says_what_the_results_say():
    assert report.PAGE.read_text(encoding="utf-8") == report.page(report.last_results(RESULTS))


def lines_of(name: str, *runs: tuple[str, float, float]) -> dict[str, list[dict[str, Any]]]:
    metric = COMPARISONS[name].metric
    return {
        name: [
            {"recipe": name, "contestant": contestant, "seed": 0, "seconds": seconds, "metrics": {metric: score}}
            for contestant, seconds, score in runs
        ]
    }


def test_a_comparison_fails_where_it_is_too_slow_or_scores_below():
    good = lines_of("beside-sst2", (OURS, 50.0, 0.9), (RANDOM, 100.0, 0.9), (GROUPED, 80.0, 0.9))
    slow = lines_of("beside-sst2", (OURS, 61.0, 0.9), (RANDOM, 100.0, 0.9), (GROUPED, 80.0, 0.9))
    worse = lines_of("beside-sst2", (OURS, 50.0, 0.89), (RANDOM, 100.0, 0.9), (GROUPED, 80.0, 0.9))

    assert ratios(good["beside-sst2"], RANDOM) == 0.5
    assert not report.failing(good)
    assert "0.61 of the Trainer's time" in report.failing(slow)[0]
    assert "accuracy 89.00" in report.failing(worse)[0]


@pytest.mark.parametrize(
    ("ours", "shown", "fails"),
    [((0.9, 0.86, 0.91), "-1.00 (-5.30 to +3.30)", False), ((0.88, 0.87, 0.89), "-2.00 (-2.00 to -2.00)", True)],
)
def test_a_difference_is_one_where_seeds_do_not_explain_it(ours: tuple[float, ...], shown: str, fails: bool):
    theirs = (0.9, 0.89, 0.91)
    name = "beside-sst2"
    lines = [
        {**line, "seed": seed, "machine": {"processor": "Aye", "cores": 2, "python": "3.11", "torch": "2.13"}}
        for seed, (one, other) in enumerate(zip(ours, theirs, strict=True))
        for line in lines_of(name, (OURS, 50.0, one), (RANDOM, 100.0, other), (GROUPED, 80.0, other))[name]
    ]

    assert f"| 3 | {100 * sum(ours) / 3:.2f} | 90.00 | 90.00 | {shown} |" in report.page({name: lines})
    assert bool(report.failing({name: lines})) == fails


def test_a_recipe_below_what_is_asked_fails():
    line = {"recipe": "banking77", "seed": 0, "seconds": 1.0, "metrics": {"accuracy": 0.939}}

    assert report.failing({"banking77": [line]}) == ["banking77: accuracy 93.90, asked 94.00"]
    assert not report.failing({"banking77": [line | {"metrics": {"accuracy": 0.94}}]})


def test_times_of_several_machines_say_whose_they_are():
    machines = [{"processor": name, "cores": 2, "python": "3.11", "torch": "2.13"} for name in ("Aye", "Bee")]
    last = {
        name: [{"seed": 0, "seconds": seconds, "metrics": {"accuracy": 0.94}, "machine": machine}]
        for name, seconds, machine in (("banking77", 7.0, machines[1]), ("sst2", 8.0, machines[0]))
    }

    page = report.page(last)

    assert "(1) Aye, 2 cores; Python 3.11, torch 2.13; (2) Bee" in page
    assert "| 7 (2) |" in page
    assert "| 8 (1) |" in page
    assert "| 8 |" in report.page({"sst2": last["sst2"]})


def test_the_time_of_all_is_that_of_the_seeds_a_recipe_has_on_each_machine():
    machines = [{"processor": name, "cores": 2, "python": "3.11", "torch": "2.13"} for name in ("Aye", "Bee")]
    last = {
        name: [
            {"seed": n, "seconds": 60.0 * (n + 1), "metrics": {"accuracy": 0.94}, "machine": machine} for n in range(4)
        ]
        for name, machine in (("banking77", machines[1]), ("chnsenticorp", machines[0]), ("sst2", machines[0]))
    }
    for entry in last["chnsenticorp"]:
        entry["metrics"]["TF-IDF of characters + LR"] = 0.9

    assert "Together: 7 minutes (1) and 1 minutes (2)." in report.page(last)  # chnsenticorp: seeds 0, 1, 2
    assert "Together: 1 minutes." in report.page({"sst2": last["sst2"]})


def test_only_the_last_run_of_a_recipe_counts(tmp_path: Path):
    results = tmp_path / "results.jsonl"
    runs = [{"run": run, "recipe": "stsb", "seed": seed} for run, seed in (("1", 0), ("1", 1), ("2", 0))]
    results.write_text("".join(json.dumps(each) + "\n" for each in runs), encoding="utf-8")

    assert [each["run"] for each in report.last_results(results)["stsb"]] == ["2"]


def test_the_trainer_sees_the_label_of_a_word_at_its_first_token(minilm_folder: Path):
    from vitrail.api import load

    encoder: Encoder = load(minilm_folder, device="cpu")
    encoder.attach(encoder.new_task("token-classification", labels=("B-PER", "O")))
    row = {"tokens": ["Unforgettably", "hi"], "tags": ["O", "B-PER"]}
    example = encoder.need_task().examples([row], encoder.need_tokenizer(), max_length=32)[0]

    [feature] = FEATURES["token-classification"](example)

    labelled = [(place, label) for place, label in enumerate(feature["labels"]) if label != IGNORED]
    assert len(feature["labels"]) == len(feature["input_ids"]) == len(feature["attention_mask"])
    assert labelled == [(1, 1), (len(feature["labels"]) - 2, 0)]
