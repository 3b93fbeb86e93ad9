"""`vitrail inspect`: the page, the JSON, and the words of a spec. The counts are held in models/test_arithmetic.py."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors import safe_open
from tokenizers import Tokenizer as Backend
from typer.testing import CliRunner

from oracles.tiny import ORACLES
from vitrail import Encoder, EncoderSpec
from vitrail.cli.main import app
from vitrail.cli.spec_words import spec_in_words
from vitrail.models import RotaryPositions

SMALL = EncoderSpec.original(vocab_size=50, hidden_size=100, num_layers=1, num_heads=4, intermediate_size=400)


def inspect(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments), "--offline"])


def words(spec: EncoderSpec) -> dict[str, str]:
    return dict(spec_in_words(spec))


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    Encoder.from_spec(SMALL, seed=0).save(folder)
    return folder


def test_the_json_of_minilm_agrees_with_its_files(minilm_folder: Path):
    result = inspect(minilm_folder, "--json")

    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    with safe_open(minilm_folder / "model.safetensors", "pt") as file:
        sizes = {name: len(file.get_tensor(name).flatten()) for name in file.keys()}  # noqa: SIM118
    assert sorted(facts["unused_tensors"]) == [name for name in sorted(sizes) if "pooler" in name]
    used = sum(size for name, size in sizes.items() if "pooler" not in name and "position_ids" not in name)
    assert facts["parameters"]["total"] == used
    assert facts["memory"]["weights_bytes"] == 4 * used
    backend = Backend.from_file(str(minilm_folder / "tokenizer.json"))
    assert facts["tokenizer"]["kind"] == "WordPiece"
    assert facts["tokenizer"]["vocab_size"] == backend.get_vocab_size()
    assert (facts["source"], facts["family"], facts["max_length"]) == ("folder", "bert", 256)
    assert (facts["spec"]["num_heads"], facts["spec"]["head_dim"]) == (12, 32)
    assert facts["pooling"]["modes"] == ["mean"]
    assert [text["length"] for text in facts["multiply_adds"]["texts"]] == [16, 128, 256]
    assert facts["runtime"]["device"]


def test_the_page_of_minilm_says_what_a_person_wants_to_know_within_100_columns(minilm_folder: Path):
    result = inspect(minilm_folder)

    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 100
    page = " ".join(result.stdout.split())
    for said in (
        "12 heads of 32",
        "learned, by column, 512",
        "LayerNorm after the residual",
        "384 → 1,536 → 384 with GELU",
        "embeddings 11,917,824 52.8 % 47.7 MB",
        "at 2,304 tokens scores + mixing equal the linear layers; the longest text has 256",
        "weights 90.3 MB",
        "WordPiece, 30,522 tokens, 2 special around a text",
        "mean of the tokens, divided by its length",
        "2 of a head that embedding does not use: pooler.dense.bias, pooler.dense.weight",
    ):
        assert said in page


@pytest.mark.parametrize("columns", [60, 80, 98])
def test_a_narrow_terminal_cuts_no_number(minilm_folder: Path, monkeypatch, columns: int):
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = inspect(minilm_folder, "--length", 128).stdout.splitlines()

    start = next(i for i, line in enumerate(lines) if line.startswith("Parameters"))
    assert max(map(len, lines[start:])) <= columns
    tables = " ".join(lines[start : next(i for i, line in enumerate(lines) if line.startswith("half"))])
    assert all(number in tables for number in ("11,917,824", "52.8", "1.43", "63.2"))


def test_the_worked_case_of_the_article(small_folder: Path):
    result = inspect(small_folder, "--json", "--length", 5, "--length", 600, "--length", 5)

    facts = json.loads(result.stdout)
    assert facts["multiply_adds"]["balance_length"] == 600
    five, six_hundred = facts["multiply_adds"]["texts"]
    assert (five["length"], five["total"], five["scores_and_mixing"]) == (5, 605_000, 5_000)
    assert six_hundred["scores_and_mixing"] == six_hundred["projections"] + six_hundred["feed_forward"]
    parameters = facts["parameters"]
    assert parameters["attention"] + parameters["feed_forward"] + parameters["norms"] == 121_300


def test_a_model_without_a_tokenizer_is_shown_too(small_folder: Path):
    page = inspect(small_folder).stdout

    assert "none in the folder: it takes ids, but no text" in page
    assert json.loads(inspect(small_folder, "--json").stdout)["tokenizer"] is None


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_takes_half_the_memory(small_folder: Path, precision: str):
    full, half = (
        json.loads(inspect(small_folder, "--json", "--precision", each).stdout) for each in ("float32", precision)
    )

    assert full["memory"]["weights_bytes"] == 2 * half["memory"]["weights_bytes"]
    full_each, half_each = (
        each["memory"]["activations_bytes"] / each["memory"]["batch_tokens"] for each in (full, half)
    )
    assert full_each == 2 * half_each  # the paths they run on like batches of different sizes
    assert half["runtime"]["precision"] == precision


@pytest.mark.parametrize("length", ["0", "513"])
def test_a_length_the_positions_do_not_allow_is_refused(minilm_folder: Path, length: str):
    result = inspect(minilm_folder, "--length", length)

    assert result.exit_code == 2
    assert "length must be from 1 to 512" in result.stderr


def test_names_of_a_file_cannot_steer_the_terminal(small_folder: Path, tmp_path: Path):
    encoder = Encoder.from_spec(SMALL, seed=0)
    encoder.prompts = {"query": "\x1b[31m[bold]x[/bold]"}
    encoder.save(tmp_path)

    page = inspect(tmp_path).stdout

    assert "\x1b" not in page
    assert "[bold]x[/bold]" in page


@pytest.mark.parametrize("name", ["albert", "deberta-v3", "modernbert", "mpnet", "eurobert", "gte, stretched"])
def test_every_kind_of_model_has_a_page(name: str, tmp_path: Path):
    transformers.logging.disable_progress_bar()
    ORACLES[name].build().save_pretrained(tmp_path)

    result = inspect(tmp_path)

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert any("scores + mixing" in line for line in lines)


SAID: list[tuple[Callable[[], EncoderSpec], str, str]] = [
    (lambda: SMALL, "positions", "sinusoidal, added to the embeddings, no longest text"),
    (lambda: SMALL, "who sees whom", "a token sees every token of its text"),
    (lambda: replace(SMALL, causal=True), "who sees whom", "a token sees it and those before it (causal)"),
    (
        lambda: layers(64, None, 64),
        "who sees whom",
        "layer 1 sees every token of its text, the others 64 tokens to each side",
    ),
    (
        lambda: layers(*(None, 64, 64) * 4),
        "who sees whom",
        "1 of every 3 layers sees every token of its text, the others 64 tokens to each side; "
        "layers 0, 3, 6, 9 see all",
    ),
    (lambda: layers(2, 2), "who sees whom", "a token sees 2 tokens to each side, in every layer"),
    (lambda: replace(SMALL, num_kv_heads=2), "attention", "4 heads of 25; every 2 share one of 2 key/value heads"),
    (
        lambda: replace(SMALL, windows=(None,) * 3, shared_layers=(0, 0, 0)),
        "layers",
        "3 steps through 1 set of parameters, which the layers share",
    ),
    (
        lambda: replace(SMALL, embedding_size=9),
        "width",
        "100 numbers per token, projected from embeddings of 9",
    ),
    (lambda: replace(SMALL, attention_bias=False), "biases", "everywhere but in queries, keys and values"),
    (
        lambda: replace(SMALL, positions=(RotaryPositions(bases=(1e4,), rotary_dim=12, scaling=2.0),)),
        "positions",
        "rotations of 12 of 25 dimensions of query and key (rotary), base 10,000, stretched 2 times",
    ),
    (lambda: replace(SMALL, positions=()), "positions", "none: order is not seen"),
    (
        lambda: replace(SMALL, pre_norm=True, first_attention_norm=False, final_norm=True),
        "normalisation",
        "LayerNorm before each step, at the end, but not before the first attention; ε 1e-05",
    ),
]


def layers(*windows: int | None) -> EncoderSpec:
    return replace(SMALL, windows=windows, shared_layers=tuple(range(len(windows))))


@pytest.mark.parametrize(("spec", "line", "said"), SAID)
def test_a_spec_in_words(spec: Callable[[], EncoderSpec], line: str, said: str):
    assert words(spec())[line] == said
