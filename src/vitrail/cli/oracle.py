"""The reference libraries, asked from outside: in a process of its own, without a network, files in and files out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, Int64

SCRIPT = Path(__file__).with_name("oracle_script.py")
LONGEST_SECONDS = 1800
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",  # on a busy machine, threads that spin while they wait take many times longer
}


class Unavailable(Exception):
    """The reference cannot be asked; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Rows of what was asked for, and the library and version that gave them."""

    rows: Float32[np.ndarray, "rows width"]
    version: str


def hidden_states(folder: Path, sequences: Sequence[Int64[np.ndarray, "_tokens"]]) -> Answer:
    """Of every token of the sequences, by transformers' AutoModel."""
    boundaries = np.cumsum([0, *map(len, sequences)])

    def put(exchange: Path) -> None:
        np.savez(exchange / "ids.npz", ids=np.concatenate(sequences), boundaries=boundaries)

    return _ask("hidden-states", folder, put, library="transformers")


def vectors(folder: Path, texts: Sequence[str]) -> Answer:
    """Of every text, by sentence-transformers."""

    def put(exchange: Path) -> None:
        (exchange / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")

    return _ask("vectors", folder, put, library="sentence-transformers")


def _ask(task: str, folder: Path, put: Callable[[Path], None], *, library: str) -> Answer:
    with TemporaryDirectory(prefix="vitrail-verify-") as name:
        exchange = Path(name)
        put(exchange)
        error = run_script(task, folder, exchange)
        if (exchange / "answer.npz").is_file():
            with np.load(exchange / "answer.npz") as answer:
                return Answer(rows=answer["rows"], version=str(answer["version"]))
        if (exchange / "problem.txt").is_file():
            error = (exchange / "problem.txt").read_text(encoding="utf-8")
    if error.startswith("ModuleNotFoundError"):
        raise Unavailable(f"{library} is not installed ({error.partition(': ')[2]})")
    raise Unavailable(f"{library} does not open the model: {' '.join(error.split())[:300]}")


def run_script(task: str, folder: Path, exchange: Path) -> str:
    """Run the script to its end; what it says last when it breaks off. -P: its folder is no place to import from."""
    command = [sys.executable, "-P", str(SCRIPT), task, str(folder), str(exchange)]
    try:
        done = subprocess.run(
            command, env={**os.environ, **_SETTINGS}, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {LONGEST_SECONDS} seconds"
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return last[0] if last else f"it ended with exit code {done.returncode}"
