"""Vectors kept on disk: used when they are right, never when they are not, safe with two processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vitrail
from vitrail.errors import VitrailError


def count_tokens(encoder: vitrail.Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    tokens: list[int] = []
    run = encoder.inference.run
    monkeypatch.setattr(encoder.inference, "run", lambda ids, packing: tokens.append(len(ids)) or run(ids, packing))
    return tokens


def test_a_text_is_computed_once(minilm: vitrail.Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = minilm.embed_detailed(["one", "two"], cache=tmp_path / "vectors")
    tokens = count_tokens(minilm, monkeypatch)
    again = minilm.embed_detailed(["two", "three", "one"], cache=tmp_path / "vectors")
    assert sum(tokens) == 3
    np.testing.assert_array_equal(again.vectors[[2, 0]], first.vectors)
    assert again.used_tokens.tolist() == [3, 3, 3]


def test_other_options_and_other_weights_are_other_entries(minilm_folder: Path, tmp_path: Path):
    encoder = vitrail.load(minilm_folder, device="cpu")
    cache = tmp_path / "vectors"
    plain = encoder.embed("text", cache=cache)
    assert encoder.embed("text", cache=cache, dimensions=5).shape == (5,)
    assert not np.allclose(encoder.embed("text", cache=cache, prompt="p: "), plain)
    assert not np.allclose(encoder.embed("text", cache=cache, normalize=False), plain)
    with torch.no_grad():
        encoder.model.layers[5].feed_forward.down.weight.mul_(1.5)
    assert not np.allclose(encoder.embed("text", cache=cache), plain)


def test_cut_texts_are_remembered_as_cut(minilm: vitrail.Encoder, tmp_path: Path):
    for _ in range(2):
        with pytest.warns(vitrail.TruncationWarning):
            found = minilm.embed_detailed(["word " * 300, "short"], cache=tmp_path / "vectors")
        assert found.truncated.tolist() == [True, False]
        assert found.input_tokens.tolist() == [302, 3]


def test_two_processes_may_share_a_file(minilm: vitrail.Encoder, minilm_folder: Path, tmp_path: Path):
    program = (
        "import sys, vitrail\n"
        "encoder = vitrail.load(sys.argv[1], device='cpu', threads=1)\n"
        "for start in range(0, 40, 4):\n"
        "    encoder.embed([f'text {n}' for n in range(start, start + 8)], cache=sys.argv[2])\n"
    )
    command = [sys.executable, "-c", program, str(minilm_folder), str(tmp_path / "vectors")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    texts = [f"text {n}" for n in range(44)]
    kept = minilm.embed(texts, cache=tmp_path / "vectors")
    np.testing.assert_allclose(kept, minilm.embed(texts), atol=2e-6)


def test_a_file_that_is_no_cache_is_an_error_that_names_it(minilm: vitrail.Encoder, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(VitrailError, match=r"notes\.txt"):
        minilm.embed("text", cache=tmp_path / "notes.txt")
