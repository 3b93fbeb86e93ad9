"""One contestant in a process that holds nothing else: `python -m benchmarks.contestants ACTION JOB.json`.

prepare: convert and quantise the model, once. embed: load, warm up, turn all texts into vectors with a clock running.
first: load and embed one text, cold. latency: one text at a time, each a different one. stream: a file of any length,
keeping nothing. The last line of stdout is the result, as JSON. Runs in the contestant's environment, so only numpy and
the contestant's own file are imported.
"""

import importlib
import itertools
import json
import os
import resource
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

WARM_UP_TEXTS = 64
# calls that do not count before the latencies that do
WARM_UP_CALLS = 20


def prepare(job: dict[str, Any], module: Any) -> dict[str, Any]:
    folder = Path(job["prepared"])
    if hasattr(module, "prepare"):
        folder.mkdir(parents=True, exist_ok=True)
        module.prepare(Path(job["model"]), folder, job["settings"], _texts(job["calibration"]))
    return {}


def embed(job: dict[str, Any], module: Any) -> dict[str, Any]:
    texts, embed = _texts(job["texts"]), _load(job, module)
    embed(texts if job["settings"].get("compiled") else texts[:WARM_UP_TEXTS])
    busy, own, start = machine.busy_seconds(), time.process_time(), time.perf_counter()
    vectors = embed(texts)
    seconds = time.perf_counter() - start
    # of all cores; the counters of a core tick every 10 ms
    others = (machine.busy_seconds() - busy - (time.process_time() - own)) / seconds / machine.cores()
    np.save(job["out"], vectors)
    return {"seconds": seconds, "peak_bytes": _peak_bytes(), "used_by_others": max(others, 0.0)}


def first(job: dict[str, Any], module: Any) -> dict[str, Any]:
    _load(job, module)(_texts(job["texts"])[:1])
    return {}


def latency(job: dict[str, Any], module: Any) -> dict[str, Any]:
    texts, embed = _texts(job["texts"]), _load(job, module)
    seconds = []
    for text in texts:
        start = time.perf_counter()
        embed([text])
        seconds.append(time.perf_counter() - start)
    counted = seconds[WARM_UP_CALLS:]
    return {"p50_seconds": float(np.percentile(counted, 50)), "p99_seconds": float(np.percentile(counted, 99))}


def stream(job: dict[str, Any], module: Any) -> dict[str, Any]:
    """A file of one text per line, read while it is embedded, so that memory shows whether anything is kept."""
    embed = module.load_stream(Path(job["model"]), job["settings"], job["max_length"])
    with Path(job["texts"]).open(encoding="utf-8") as lines:
        embed(line.rstrip("\n") for line in itertools.islice(lines, WARM_UP_TEXTS))
        start = time.perf_counter()
        count = embed(line.rstrip("\n") for line in lines)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "texts": count, "peak_bytes": _peak_bytes()}


def _load(job: dict[str, Any], module: Any) -> Any:
    return module.load(Path(job["model"]), Path(job["prepared"]), job["settings"], job["max_length"])


def _peak_bytes() -> int:
    """Most resident memory of this program; getrusage alone would count what its parent held before the fork too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _texts(file: str) -> list[str]:
    return json.loads(Path(file).read_text(encoding="utf-8"))


def main(action: str, job_file: str) -> None:
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(machine.cores()))
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    module = importlib.import_module(f"benchmarks.contestants.{job['module']}")
    actions = {each.__name__: each for each in (prepare, embed, first, latency, stream)}
    result = actions[action](job, module)
    print(json.dumps({**result, "version": version(job["package"])}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
