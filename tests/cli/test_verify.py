"""`vitrail verify`: what it finds right, what it finds wrong, and what it cannot check."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from typer.testing import CliRunner

import vitrail
from oracles.tiny import ORACLES
from vitrail import Encoder, EncoderSpec
from vitrail.api import checks
from vitrail.cli import oracle, oracle_script
from vitrail.cli.main import app
from vitrail.layers.attention import SelfAttention

SMALL = EncoderSpec.original(vocab_size=50, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=17)


def verify(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["verify", *map(str, arguments), "--offline"])


def outcomes(result: Any) -> dict[str, str]:
    return {check["name"]: check["outcome"] for check in json.loads(result.stdout)["checks"]}


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script without a process of its own: starting one takes seconds."""

    def run_script(task: str, folder: Path, exchange: Path) -> str:
        oracle_script.main(task, folder, exchange)
        return ""

    monkeypatch.setattr(oracle, "run_script", run_script)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    transformers.logging.disable_progress_bar()
    ORACLES["bert"].build().save_pretrained(folder)
    return folder


def test_the_real_minilm_is_right_in_processes_of_their_own(minilm_folder: Path):
    result = verify(minilm_folder)

    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if re.match(r"\S.* ok$", line)]
    names = [line[:24].strip() for line in lines]
    assert names == [
        "transformers",
        "sentence-transformers",
        "alone or together",
        "fast path or reference",
        "saved and loaded",
    ]
    assert all("≤ 1e-05" in line for line in lines[:4])
    assert "≤ 0 " in lines[4]
    assert f"hidden states against transformers {transformers.__version__} in float32" in result.stdout


@pytest.mark.parametrize("name", ORACLES)
def test_every_family_agrees_with_the_reference(name: str, tmp_path: Path, in_this_process: None):
    ORACLES[name].build().save_pretrained(tmp_path)

    result = verify(tmp_path, "--json")

    assert result.exit_code == 0, result.output
    assert set(outcomes(result).values()) == {"ok"}
    assert len(outcomes(result)) == 4


def test_a_model_in_vitrails_own_format_has_nothing_to_compare_with(tmp_path: Path):
    Encoder.from_spec(SMALL, seed=0).save(tmp_path)

    result = verify(tmp_path)

    assert result.exit_code == 3, result.output
    assert re.search(r"transformers +could not be checked\n +a model in vitrail's own format", result.stdout)
    assert result.stdout.count(" ok\n") == 3


def test_a_library_that_is_not_installed_is_said_and_the_exit_code_is_3(tiny_bert: Path, monkeypatch, tmp_path: Path):
    # a package that cannot be imported, as if it were not there
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError(\"No module named 'transformers'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    result = verify(tiny_bert, "--json")

    assert result.exit_code == 3, result.output
    first = json.loads(result.stdout)["checks"][0]
    assert first["outcome"] == "unchecked"
    assert first["note"] == "transformers is not installed (No module named 'transformers')"


def test_weights_the_reference_does_not_find_are_no_failure_of_ours(tmp_path: Path, in_this_process: None, monkeypatch):
    Encoder.from_spec(SMALL, seed=0).save(tmp_path)
    loaded = transformers.AutoModel.from_pretrained

    def without_a_tensor(*arguments: Any, **options: Any) -> Any:
        model, _ = loaded(*arguments, **options)
        return model, {"missing_keys": {"encoder.layer.0", "pooler.dense"}, "mismatched_keys": set()}

    ORACLES["bert"].build().save_pretrained(tmp_path / "bert")
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", without_a_tensor)
    result = verify(tmp_path / "bert", "--json")

    assert result.exit_code == 3
    assert "finds no weights for 1 tensors" in json.loads(result.stdout)["checks"][0]["note"]


def test_a_broken_fast_path_fails(tiny_bert: Path, in_this_process: None, monkeypatch):
    usual = checks.hidden_states

    def a_little_off(*arguments: Any, run: Any = None, alone: bool = False) -> Any:
        found = usual(*arguments, run=run, alone=alone)
        return found if run is not None or alone else found * (1 + 3e-5)

    monkeypatch.setattr(checks, "hidden_states", a_little_off)
    result = verify(tiny_bert)

    assert result.exit_code == 1
    assert re.search(r"transformers +[23](\.\d)?e-05 > 1e-05 +FAILED", result.stdout)
    assert re.search(r"fast path or reference +[23](\.\d)?e-05 > 1e-05 +FAILED", result.stdout)
    assert re.search(r"saved and loaded +0 ≤ 0 +ok", result.stdout)


def test_neighbours_that_matter_fail(tiny_bert: Path, in_this_process: None, monkeypatch):
    def leaky(self: Any, hidden: torch.Tensor, packing: Any, relation: Any = None) -> torch.Tensor:
        return hidden + 1e-3 * hidden.mean(0)

    monkeypatch.setattr(SelfAttention, "forward", leaky)
    monkeypatch.setattr("vitrail.backends.inference.is_built", lambda: False)  # the engine has no such module

    assert outcomes(verify(tiny_bert, "--json"))["alone or together"] == "failed"


def test_a_model_that_changes_when_saved_fails(tiny_bert: Path, in_this_process: None, monkeypatch):
    save = Encoder.save

    def forgetful(self: Encoder, folder: Any) -> None:
        with torch.no_grad():
            weight = self.model.layers[0].attention.query.weight
            weight[0, 0].add_(1e-7)
            save(self, folder)
            weight[0, 0].sub_(1e-3)

    monkeypatch.setattr(Encoder, "save", forgetful)
    result = verify(tiny_bert, "--json")

    assert result.exit_code == 1
    check = json.loads(result.stdout)["checks"][-1]
    assert check["outcome"] == "failed"
    assert "model.layers.0.attention.query.weight" in check["note"]


def test_a_full_disk_is_no_failure_of_the_model(tiny_bert: Path, in_this_process: None, monkeypatch):
    def full(self: Encoder, folder: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Encoder, "save", full)
    result = verify(tiny_bert, "--json")

    assert result.exit_code == 3
    assert outcomes(result)["saved and loaded"] == "unchecked"


def test_numbers_that_are_not_finite_fail(tiny_bert: Path, in_this_process: None, monkeypatch):
    usual = vitrail.load

    def load(*arguments: Any, **options: Any) -> Encoder:
        encoder = usual(*arguments, **options)
        with torch.no_grad():
            encoder.model.layers[1].feed_forward.down.bias[0] = float("nan")
        return encoder

    monkeypatch.setattr(vitrail, "load", load)
    result = verify(tiny_bert, "--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)["checks"]
    assert [(check["outcome"], check["difference"]) for check in found[:3]] == [("failed", None)] * 3


def test_half_precision_has_its_own_tolerance(tiny_bert: Path, in_this_process: None):
    result = verify(tiny_bert, "--json", "--precision", "bfloat16")

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["checks"]
    assert [check["tolerance"] for check in found] == [0.05, 0.05, 0.05, 0.0]
    assert found[0]["difference"] > 1e-4


def test_texts_of_ones_own(minilm_folder: Path, tmp_path: Path, monkeypatch):
    def unavailable(*given: Any) -> None:
        raise oracle.Unavailable("not asked here")

    monkeypatch.setattr(oracle, "hidden_states", unavailable)
    monkeypatch.setattr(oracle, "vectors", unavailable)
    (tmp_path / "texts.csv").write_text("id,text\n1,one\n2,a second text\n")
    (tmp_path / "none.txt").write_text("")

    result = verify(minilm_folder, "--json", "--texts", tmp_path / "texts.csv")
    none = verify(minilm_folder, "--texts", tmp_path / "none.txt")

    assert (result.exit_code, json.loads(result.stdout)["texts"]) == (3, 2)
    assert none.exit_code == 2
    assert "holds no texts" in none.stderr


def test_the_difference_is_a_share_of_the_largest_value():
    wanted = np.array([[4.0, 0.0], [0.0, -8.0]], dtype=np.float32)
    ours = wanted + np.array([[0.0, 0.5], [0.0, 0.0]], dtype=np.float32)

    assert checks.compared("x", ours, wanted, tolerance=0.1, note="").difference == 0.0625
    assert checks.compared("x", ours, wanted, tolerance=0.0625, note="").outcome == "ok"
    assert checks.compared("x", ours, wanted, tolerance=0.06, note="").outcome == "failed"
    assert checks.compared("x", ours[:1], wanted, tolerance=1.0, note="").outcome == "failed"


def test_int8_is_measured_against_float32_and_everything_else_in_float32(tiny_bert: Path, in_this_process: None):
    result = verify(tiny_bert, "--precision", "int8", "--json")

    found = json.loads(result.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["precision"] == "int8"
    assert set(outcomes(result).values()) == {"ok"}
    assert checks["fast path or reference"]["tolerance"] == 1e-5


def test_the_cost_of_float16_is_told_too(minilm_folder: Path, in_this_process: None):
    result = verify(minilm_folder, "--precision", "float16", "--device", "cpu", "--json")

    cost = next(each for each in json.loads(result.stdout)["checks"] if each["name"] == "cost of float16")
    assert cost["outcome"] == "ok"
    assert 0 < cost["difference"] < 1e-4


def test_the_cost_of_int8_is_told_for_texts(minilm_folder: Path):
    exact, encoder = vitrail.load(minilm_folder, device="cpu"), vitrail.load(minilm_folder, precision="int8")
    texts = [f"sentence number {number} about {word}" for number in range(6) for word in ("war", "peace", "tea")]

    check = checks.check_cost(encoder, exact, texts)
    broken = checks.check_cost(vitrail.load(minilm_folder, precision="int8", max_length=5), exact, texts)

    assert check.outcome == "ok"
    assert 0 < (check.difference or 0) < 0.007
    assert "keep their nearest" in check.note
    assert broken.outcome == "failed"
