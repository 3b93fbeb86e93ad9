"""The command line with the real MiniLM: the hard texts of CASES, search that finds, a kill that costs nothing."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import vitrail
from vitrail.cli.main import app

HARD_TEXTS = {
    "empty": "",
    "white space": " \t  ",
    "NUL": "\0",
    "zero width": "\u200b\u200d\ufeff",
    "special tokens as text": "[CLS] a [SEP] <s>",
    "emoji and right to left": "👩‍👩‍👧 שלום é e\u0301",
    "no spaces": "x" * 200_000,
    "Chinese": "字" * 200_000,
    "combining marks": "e" + "\u0301" * 200_000,
    "one token less": "word " * 253,
    "exactly full": "word " * 254,
    "one token more": "word " * 255,
}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_hard_texts_are_embedded_and_neither_they_nor_a_bad_row_change_their_neighbours(tmp_path, minilm_folder):
    texts = [*HARD_TEXTS.values(), "an ordinary neighbour"]
    lines = [json.dumps({"text": text}) for text in texts] + ['{"text": "\\ud800"}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))

    result = invoke("embed", tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet", "--model", minilm_folder)

    assert result.exit_code == 1, result.output
    table = pq.read_table(tmp_path / "out.parquet")
    assert ["surrogate" in (error or "") for error in table["error"].to_pylist()] == [False] * len(texts) + [True]
    vectors = np.array(table["embedding"].to_pylist()[:-1], np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = vitrail.load(minilm_folder).embed("an ordinary neighbour")
    np.testing.assert_allclose(vectors[-1], alone, atol=1e-5)
    rows = zip(table["input_tokens"].to_pylist(), table["used_tokens"].to_pylist(), strict=True)
    counts = dict(zip([*HARD_TEXTS, "neighbour", "bad row"], rows, strict=True))
    assert counts["one token less"] == (255, 255)
    assert counts["exactly full"] == (256, 256)
    assert counts["one token more"] == (257, 256)
    assert counts["Chinese"][1] == 256


def test_a_prompt_longer_than_the_window_and_an_unknown_one_are_mistakes_said_at_the_start(tmp_path, minilm_folder):
    (tmp_path / "in.txt").write_text("a text\n")

    for prompt in ("word " * 300, "no_such_prompt"):
        result = invoke(
            "embed", tmp_path / "in.txt", "-o", tmp_path / "o.npy", "--model", minilm_folder, "--prompt", prompt
        )
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith("vitrail: error: ")
        assert "prompt" in result.stderr
        assert not (tmp_path / "o.npy.partial").exists()


def test_offsets_of_token_vectors_are_code_points_of_the_text_in_the_file(tmp_path, minilm_folder):
    text = "👩 caf\u00e9 bakes bread"
    (tmp_path / "in.txt").write_text(text + "\n")

    result = invoke("embed", tmp_path / "in.txt", "-o", tmp_path / "o.parquet", "--model", minilm_folder, "--tokens")

    assert result.exit_code == 0, result.output
    row = pq.read_table(tmp_path / "o.parquet").to_pylist()[0]
    words = [text[a:b] for (a, b), special in zip(row["offsets"], row["special"], strict=True) if not special]
    assert words[1:] == ["café", "ba", "kes", "bread"]
    assert np.array(row["token_embeddings"]).shape == (len(row["token_ids"]), 384)


def test_search_finds_the_text_that_means_the_same(tmp_path, minilm_folder):
    texts = ["how to bake bread", "quantum field theory", "the cat sat on the mat"]
    (tmp_path / "in.txt").write_text("\n".join(texts))

    for output in ("o.parquet", "o.jsonl", "o.npy"):
        assert invoke("embed", tmp_path / "in.txt", "-o", tmp_path / output, "--model", minilm_folder).exit_code == 0
        result = invoke("search", tmp_path / output, "a loaf recipe", "kitten", "-k", "1", "--json")
        assert [json.loads(line)["row"] for line in result.stdout.splitlines()] == [0, 2], result.output


@pytest.mark.slow
def test_the_real_command_killed_between_parts_gives_the_same_file_as_one_that_was_not(tmp_path, minilm_folder):
    (tmp_path / "in.txt").write_text("".join(f"text number {n} of many\n" for n in range(5000)))

    def run(output, **environment):
        command = [sys.executable, "-m", "vitrail", "embed", tmp_path / "in.txt", "-o", tmp_path / output]
        environment = {**os.environ, **environment}
        return subprocess.run([*command, "--model", minilm_folder], env=environment, check=False).returncode

    assert run("out.parquet", VITRAIL_TEST_KILL="after-part:2") == -signal.SIGKILL
    assert run("out.parquet") == run("whole.parquet") == 0
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
