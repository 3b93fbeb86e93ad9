"""The verbs embed, search and download with a stand-in encoder: what they print, write and exit with."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import vitrail
from vitrail.cli.main import VERBS, app
from vitrail.errors import ModelNotFound

FAKE = Path(__file__).parents[1] / "jobs" / "fake_encoder.py"


@pytest.fixture
def loads(monkeypatch):
    """Let `vitrail.load` give the stand-in; the arguments it got are collected."""
    fake_encoder = runpy.run_path(str(FAKE))["FakeEncoder"]
    collected = []

    def load(name=None, **arguments):
        collected.append((name, arguments))
        if name == "gone":
            raise ModelNotFound("no model named gone")
        return fake_encoder(weights="b" * 64 if name == "other" else "a" * 64, prompts={"query": "q: "})

    monkeypatch.setattr(vitrail, "load", load, raising=False)
    return collected


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,one\n2,two\n3,q: two\n")
    return path


def invoke(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


HELP_LOADS = """
import sys
{first}
before = set(sys.modules)
from vitrail.cli.main import app
try:
    app({command!r})
finally:
    print([name for name in ("torch", "pyarrow", "numpy") if name in sys.modules and name not in before])
"""


@pytest.mark.parametrize("command", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy_beyond_the_package(command):
    code = HELP_LOADS.format(first="import vitrail", command=command)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_help_loads_nothing_heavy_at_all():
    code = HELP_LOADS.format(first="", command=["--help"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_python_m_vitrail_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "vitrail", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vitrail ")


def test_embed_writes_the_file_and_closes_with_one_line_on_stderr(tmp_path, texts, loads):
    result = invoke("embed", texts, "-o", tmp_path / "out.parquet", "--model", "m", "--device", "cpu", "--offline")

    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("vitrail: 3 rows, 0 errors, 0 truncated, 4 tokens at ")
    assert result.stderr.count("\n") == 1
    assert loads[0][0] == "m"
    assert loads[0][1]["offline"] is True
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["1", "2", "3"]


def test_embed_to_stdout_is_json_lines_and_standard_input_is_text(loads):
    result = invoke("embed", "-", "-o", "-", stdin="one\n\ntwo\n")

    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["row"], row["text"], len(row["embedding"])) for row in rows] == [
        (0, "one", 5),
        (1, "", 5),
        (2, "two", 5),
    ]


def test_a_failed_row_makes_the_exit_code_1_and_the_others_are_kept(tmp_path, loads):
    (tmp_path / "in.txt").write_text("one\nPOISON\n")

    result = invoke("embed", tmp_path / "in.txt", "-o", tmp_path / "out.npy")

    assert result.exit_code == 1
    assert "1 errors" in result.stderr
    assert np.isnan(np.load(tmp_path / "out.npy")[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.txt", "-o", "out.npy"], 2, "missing.txt"),
        (["in.csv", "-o", "out.doc"], 2, "end it in .parquet"),
        (["in.csv", "-o", "out.npy", "--column", "txt"], 2, "Did you mean 'text'"),
        (["in.csv", "-o", "out.npy", "--dimensions", "99"], 2, "dimensions must be 1 to 5"),
        (["in.csv", "-o", "out.npy", "--model", "gone"], 2, "no model named gone"),
        (["in.csv", "-o", "in.csv"], 2, "end it in"),
        (["in.csv", "-o", "there.npy"], 2, "--overwrite"),
        (["in.csv", "-o", "out.npy", "--tokens"], 2, "does not fit a .npy"),
        (["in.csv"], 2, "--output"),
        ([], 2, "INPUT"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(tmp_path, texts, loads, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.npy").touch()

    result = invoke("embed", *arguments)

    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.partial"))


def test_another_model_on_a_begun_job_is_exit_code_1(tmp_path, texts, loads, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vitrail.jobs.partial_folder.kill_point", lambda name: name == "after-part" and interrupt(name))
        interrupted = invoke("embed", texts, "-o", tmp_path / "out.npy")
    assert (interrupted.exit_code, interrupted.output) == (130, "")

    refused = invoke("embed", texts, "-o", tmp_path / "out.npy", "--model", "other")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("vitrail: error: ")
    assert "weights_sha256" in refused.stderr
    assert invoke("embed", texts, "-o", tmp_path / "out.npy").exit_code == 0


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.npy"])
def test_search_finds_the_nearest_rows_with_the_models_query_prompt(tmp_path, texts, loads, output):
    assert invoke("embed", texts, "-o", tmp_path / output).exit_code == 0

    result = invoke("search", tmp_path / output, "two", "one", "-k", "2", "--json")

    assert result.exit_code == 0, result.stderr
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(hit["query"], hit["rank"]) for hit in hits] == [("two", 1), ("two", 2), ("one", 1), ("one", 2)]
    assert (hits[0]["row"], hits[0]["text"]) == (2, "q: two")
    assert loads[1][1]["offline"] is True


def test_search_shows_other_columns_of_the_input(tmp_path, texts, loads):
    invoke("embed", texts, "-o", tmp_path / "out.parquet")

    table = invoke("search", tmp_path / "out.parquet", "two", "-k", "1", "--show", "id")
    as_json = invoke("search", tmp_path / "out.parquet", "two", "-k", "1", "--show", "id", "--json")
    misspelt = invoke("search", tmp_path / "out.parquet", "two", "--show", "idd")

    assert table.stdout.splitlines()[1].split() == ["rank", "score", "row", "id", "text"]
    assert json.loads(as_json.stdout)["columns"] == {"id": "3"}
    assert misspelt.exit_code == 2
    assert "'idd'" in misspelt.stderr
    assert "id, text" in misspelt.stderr


def test_search_prints_a_table_that_no_text_can_steer(tmp_path, loads):
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "\x1b[31mred [bold]x[/bold] " + "long " * 99}) + "\n")
    invoke("embed", tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet")

    result = invoke("search", tmp_path / "out.parquet", "[red]")

    assert "rank" in result.stdout
    assert "\x1b" not in result.stdout
    assert "red [bold]x[/bold] long" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_search_keeps_ties_in_order_of_rows_over_batches_and_counts_rows_without_a_vector(tmp_path, loads, monkeypatch):
    monkeypatch.setattr("vitrail.files.embeddings.BATCH_ROWS", 7)
    (tmp_path / "in.jsonl").write_text('{"text": "same"}\n' * 40 + '{"text": null}\n')
    invoke("embed", tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet")

    result = invoke("search", tmp_path / "out.parquet", "x", "-k", "20", "--json")

    assert [json.loads(line)["row"] for line in result.stdout.splitlines()] == list(range(20))
    assert "searched 40 rows by cosine (skipped without a vector: 1)" in result.stderr


def test_search_agrees_with_numpy_on_random_vectors(tmp_path, loads):
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(500)))
    invoke("embed", tmp_path / "in.txt", "-o", tmp_path / "out.npy")
    vectors = np.load(tmp_path / "out.npy").astype(np.float64)
    query = vitrail.load().embed_detailed(["text 7"], prompt="query").vectors[0].astype(np.float64)
    cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)

    result = invoke("search", tmp_path / "out.npy", "text 7", "-k", "5", "--json")

    assert [json.loads(line)["row"] for line in result.stdout.splitlines()] == np.argsort(-cosine)[:5].tolist()


def test_search_refuses_another_model_and_files_that_do_not_say_theirs(tmp_path, texts, loads):
    invoke("embed", texts, "-o", tmp_path / "out.parquet")
    pq.write_table(pa.table({"embedding": [1]}), tmp_path / "foreign.parquet")

    other = invoke("search", tmp_path / "out.parquet", "one", "--model", "other")
    foreign = invoke("search", tmp_path / "foreign.parquet", "one")
    missing = invoke("search", tmp_path / "missing.npy", "one")

    assert other.exit_code == 1
    assert "sha256 aaaa" in other.stderr
    assert foreign.exit_code == missing.exit_code == 2
    assert "does not say which model made it" in foreign.stderr
    assert "missing.npy" in missing.stderr


def test_search_of_a_file_with_one_vector_per_token_is_refused(tmp_path, texts, loads):
    for name in ("out.parquet", "out.jsonl"):
        invoke("embed", texts, "-o", tmp_path / name, "--tokens")
        result = invoke("search", tmp_path / name, "one")
        assert result.exit_code == 2
        assert "'embedding'" in result.stderr


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    (tmp_path / "run.py").write_text(
        f"import runpy, vitrail\nfake = runpy.run_path({str(FAKE)!r})['FakeEncoder']\n"
        "vitrail.load = lambda *a, **k: fake()\nfrom vitrail.cli.main import main\nmain()\n"
    )
    (tmp_path / "in.txt").write_text("a text\n" * 20_000)
    command = [sys.executable, tmp_path / "run.py", "embed", tmp_path / "in.txt", "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as job:
        job.stdout.readline()
        job.stdout.close()
        assert job.stderr.read() == b""
        assert job.wait() == 1
    assert not list(tmp_path.glob("*.partial"))


def test_download_prints_the_folder(monkeypatch, tmp_path):
    from vitrail.checkpoints import hub

    asked = []

    def download(name, *, revision=None, token=None):
        asked.append((name, revision))
        return hub.Snapshot(folder=tmp_path, name=name, revision="abc", source="hub")

    monkeypatch.setattr(hub, "download", download)

    assert invoke("download").stdout == f"{tmp_path}\n"
    assert invoke("download", "org/name", "--revision", "v1").exit_code == 0
    assert asked == [(hub.DEFAULT_MODEL, None), ("org/name", "v1")]
