"""Contestants in turn, each in a fresh process, several rounds: ratios are taken inside a round, so a slow minute hits
all.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.contestants import CONTESTANTS


def throughput(texts: Sequence[str], model: str, *, rounds: int, lengths: Sequence[int]) -> list[dict[str, object]]:
    """One result per contestant: seconds of every round, tokens/s, paired ratios, agreement with the first contestant.

    lengths: tokens of each text, so that rates are in real tokens, padding not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    peaks: dict[str, int] = {}
    vectors: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        texts_file = Path(folder) / "texts.json"
        texts_file.write_text(json.dumps(list(texts)), encoding="utf-8")
        for number in range(rounds):
            for name in CONTESTANTS:
                out = Path(folder) / f"{name}.npy"
                result = run(name, model, str(texts_file), str(out))
                seconds[name].append(result["seconds"])
                peaks[name] = max(peaks.get(name, 0), result["peak_bytes"])
                vectors[name] = np.load(out)
                print(f"round {number + 1}: {name} {result['seconds']:.2f} s", file=sys.stderr, flush=True)
    tokens = int(sum(lengths))
    return [
        {
            "contestant": name,
            "seconds": seconds[name],
            "median_seconds": statistics.median(seconds[name]),
            "tokens_per_second": tokens / statistics.median(seconds[name]),
            "texts_per_second": len(texts) / statistics.median(seconds[name]),
            "peak_bytes": peaks[name],
            "times_sentence_transformers": statistics.median(
                theirs / ours for theirs, ours in zip(seconds["sentence-transformers"], seconds[name], strict=True)
            ),
            "worst_cosine_to_sentence_transformers": _worst_cosine(vectors[name], vectors["sentence-transformers"]),
        }
        for name in CONTESTANTS
    ]


def first_vector(text: str, model: str, *, rounds: int) -> list[dict[str, object]]:
    """Seconds from starting a process to its first vector."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        texts_file = Path(folder) / "texts.json"
        texts_file.write_text(json.dumps([text]), encoding="utf-8")
        for _ in range(rounds + 1):  # the first round warms the disk's cache for everybody and is dropped
            for name in CONTESTANTS:
                start = time.perf_counter()
                run(name, model, str(texts_file), "first")
                seconds[name].append(time.perf_counter() - start)
    return [
        {
            "contestant": name,
            "seconds": seconds[name][1:],
            "median_seconds": statistics.median(seconds[name][1:]),
            "times_sentence_transformers": statistics.median(
                theirs / ours
                for theirs, ours in zip(seconds["sentence-transformers"][1:], seconds[name][1:], strict=True)
            ),
        }
        for name in CONTESTANTS
    ]


def import_seconds(rounds: int) -> float:
    """Median seconds of importing vitrail and every public name, beyond torch."""
    program = "import torch, time; s = time.perf_counter(); from vitrail import *; print(time.perf_counter() - s)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(rounds)
    )


def run(name: str, model: str, texts_file: str, out: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.contestants", name, model, texts_file, out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _worst_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())
