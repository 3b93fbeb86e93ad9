"""`vitrail predict`: files in, files out, bad rows beside good ones."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import vitrail
from vitrail.cli.main import app


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> dict[str, Path]:
    """The folder of a tiny model for each task."""
    tokenizer = vitrail.Tokenizer.from_folder(minilm_folder)
    spec = vitrail.EncoderSpec.original(
        vocab_size=tokenizer.vocab_size, hidden_size=12, num_layers=1, num_heads=3, intermediate_size=17
    )
    encoder, folders = vitrail.Encoder.from_spec(spec, tokenizer, seed=0).eval(), {}
    for name in ("text-classification", "token-classification", "question-answering", "reranking", "embedding"):
        torch.manual_seed(0)
        encoder.attach(encoder.new_task(name, labels=("O", "B-X") if "classification" in name else ()))
        folders[name] = tmp_path_factory.mktemp(name)
        encoder.save(folders[name])
    return folders


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_has_its_number_its_columns_what_was_found_and_no_error(models: dict[str, Path], tmp_path: Path):
    source, out = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    source.write_text("text,label,other\nsome words,O,1\nother words,B-X,2\n")

    run(models["text-classification"], source, "-o", out)

    rows = lines(out)
    expected = vitrail.load(models["text-classification"], task="auto").predict(["some words", "other words"])
    assert [row["row"] for row in rows] == [0, 1]
    assert [row["label"] for row in rows] == ["O", "B-X"]
    assert [row["predicted_label"] for row in rows] == [each.label for each in expected]
    assert rows[1]["predicted_scores"] == pytest.approx(dict(expected[1].scores))
    assert list(rows[0])[-1] == "error"
    assert rows[0]["error"] is None


def test_a_bad_row_costs_itself(models: dict[str, Path], tmp_path: Path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "fine"}\n{"text": 5}\nnonsense\n{"text": "fine, too"}\n')

    result = run(models["text-classification"], source, "-o", out, code=1)

    rows = lines(out)
    assert [row["error"] is None for row in rows] == [True, False, False, True]
    assert rows[1]["predicted_label"] is None
    assert "4 rows, 2 errors" in result.stderr


def test_a_row_the_task_refuses_costs_itself(models: dict[str, Path], tmp_path: Path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"question": "who?", "context": "me"}\n{"question": "who?"}\n')

    run(models["question-answering"], source, "-o", out, code=1)

    assert [row["error"] for row in lines(out)] == [None, "InputError: has nothing for 'context'; it has 'question'"]


def test_parquet_goes_in_and_out_with_its_types(models: dict[str, Path], tmp_path: Path):
    source, middle, out = tmp_path / "rows.jsonl", tmp_path / "middle.parquet", tmp_path / "out.parquet"
    source.write_text('{"text": "Ada met Bo", "n": 3}\n{"text": "Zürich", "n": 4}\n')
    run(models["embedding"], source, "-o", middle)
    import pyarrow as pa

    pq.write_table(pa.table({"sentence": ["Ada met Bo", "Zürich"], "n": pa.array([1, 2], pa.int16())}), source)
    run(models["token-classification"], source, "-o", out, "--format", "parquet")

    table = pq.read_table(out)
    assert table.schema.field("n").type == pa.int16()
    assert [len(tags) for tags in table.column("predicted_tags").to_pylist()] == [3, 1]
    spans = [json.loads(each) for each in table.column("predicted_spans").to_pylist()]
    assert all(span["text"] in "Ada met Bo Zürich" for some in spans for span in some)
    assert json.loads(table.schema.metadata[b"vitrail"])["task"] == "token-classification"
    assert len(pq.read_table(middle).column("predicted_vectors").to_pylist()[0][0]) == 12


def test_columns_may_have_other_names(models: dict[str, Path], tmp_path: Path):
    source, out = tmp_path / "rows.tsv", tmp_path / "out.jsonl"
    source.write_text("frage\tseite\nwho?\tsome page\n")

    run(models["reranking"], source, "-o", out, "--column", "query=frage", "--column", "document=seite")

    expected = vitrail.load(models["reranking"], task="reranking").predict([("who?", "some page")])[0].score
    assert lines(out)[0]["predicted_score"] == pytest.approx(expected)
    result = run(models["reranking"], source, "-o", out, "--overwrite", "--column", "page=seite", code=2)
    assert "reads query, document, documents, not 'page'" in result.stderr


def test_words_are_taken_as_they_are_and_stdout_is_json_lines(models: dict[str, Path], tmp_path: Path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"tokens": ["Ada", "met", "Bo"]}\n')

    result = run(models["token-classification"], source, "-o", "-")

    assert len(json.loads(result.stdout)["predicted_tags"]) == 3


def test_what_cannot_work_is_said_before_anything_is_loaded(models: dict[str, Path], tmp_path: Path):
    source, out = tmp_path / "rows.txt", tmp_path / "out.jsonl"
    source.write_text("a text\n")
    out.write_text("here")

    assert "exists already" in run(models["embedding"], source, "-o", out, code=2).stderr
    assert "do not fit a .npy" in run(models["embedding"], source, "-o", tmp_path / "out.npy", code=2).stderr
    assert out.read_text() == "here"
    clash = tmp_path / "rows.jsonl"
    clash.write_text('{"text": "a", "predicted_label": "b"}\n')
    result = run(models["text-classification"], clash, "-o", tmp_path / "new.jsonl", code=2)
    assert "has the column 'predicted_label'" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl", "rows.txt"]
