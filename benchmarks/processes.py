"""Starting contestants: one process at a time, each in its environment, its work described in a file."""

import fcntl
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.contestants import Contestant

ROOT = Path(__file__).parents[1]


class ContestantFailed(RuntimeError):
    """A contestant's process ended with an error; the message is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Runner:
    """work: where converted models are kept. calibration: a file of texts. lock: a file that is locked while a process
    runs, for machines that several jobs share; None for none. limit_seconds: a process that takes longer is ended.
    """

    work: Path
    calibration: Path
    lock: Path | None
    limit_seconds: float = 900.0

    def run(
        self,
        action: str,
        contestant: Contestant,
        model: Path,
        texts: Path,
        *,
        max_length: int,
        out: Path | None = None,
        chosen: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The contestant's answer, and `wall_seconds`: from starting its process to that answer."""
        prepared = self.work / "prepared" / f"{model.name} {contestant.name}".replace(" ", "-")
        job = {
            "module": contestant.module,
            "package": contestant.package,
            "settings": {**contestant.settings, **(chosen or {})},
            "model": str(model),
            "prepared": str(prepared),
            "calibration": str(self.calibration),
            "texts": str(texts),
            "max_length": max_length,
            "out": str(out),
        }
        self._prepare(contestant, job, prepared)
        return self._start(action, contestant, job)

    def _prepare(self, contestant: Contestant, job: dict[str, Any], prepared: Path) -> None:
        source = Path(__file__).parent / "contestants" / f"{contestant.module}.py"
        made_of = hashlib.sha256(source.read_bytes()).hexdigest() + environments.digest(contestant.environment)
        stamp = prepared.with_suffix(".made-of")
        if not stamp.is_file() or stamp.read_text() != made_of:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            self._start("prepare", contestant, job)
            stamp.write_text(made_of)

    def _start(self, action: str, contestant: Contestant, job: dict[str, Any]) -> dict[str, Any]:
        python = environments.python(contestant.environment)
        with tempfile.TemporaryDirectory() as folder, alone(self.lock):
            job_file, errors = Path(folder) / "job.json", Path(folder) / "stderr"
            job_file.write_text(json.dumps(job), encoding="utf-8")
            command = [python, "-m", "benchmarks.contestants", action, str(job_file)]
            start = time.perf_counter()
            with (
                errors.open("w+") as stderr,
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT) as process,
            ):
                assert process.stdout is not None
                watch = threading.Timer(self.limit_seconds, process.kill)
                watch.start()
                answer, seconds = "", 0.0
                for line in process.stdout:
                    answer, seconds = line, time.perf_counter() - start
            watch.cancel()
            if time.perf_counter() - start >= self.limit_seconds:
                raise ContestantFailed(f"{contestant.name} at {action}: no answer in {self.limit_seconds:.0f} s")
            if process.returncode:
                last = errors.read_text(errors="replace").strip().splitlines()[-30:]
                raise ContestantFailed(f"{contestant.name} failed at {action}:\n" + "\n".join(last))
        return {**json.loads(answer), "wall_seconds": seconds}


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    if lock is None:
        yield
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
