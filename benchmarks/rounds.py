"""Contestants in turn, each in a fresh process, several rounds: ratios are taken inside a round, so a slow minute hits
all.

A contestant that fails is named with what it said, and the others go on.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import BASE, Contestant
from benchmarks.processes import ContestantFailed, Runner, alone
from benchmarks.workloads import Workload

Result = dict[str, Any]
Chosen = dict[str, dict[str, Any]]  # contestant -> settings


def tuning(runner: Runner, work: Workload, contestants: Sequence[Contestant]) -> list[Result]:
    """One result per contestant: the seconds of every setting that is tried, and the best setting."""
    results = []
    for contestant in contestants:
        tried = []
        try:
            for settings in contestant.tried:
                done = _embed(runner, work, contestant, settings)
                tried.append({"settings": settings, "seconds": done["seconds"]})
                _say(f"{work.model} {work.kind}: {contestant.name} {settings} {done['seconds']:.2f} s")
        except ContestantFailed as error:
            results.append(_failure(contestant, error))
            continue
        best = min(tried, key=lambda one: one["seconds"])["settings"]
        results.append({"contestant": contestant.name, "kind": work.kind, "tried": tried, "best": best})
    return results


def throughput(
    runner: Runner, work: Workload, contestants: Sequence[Contestant], chosen: Chosen, *, rounds: int
) -> list[Result]:
    """One result per contestant: seconds of every round, rates in real tokens, peak memory, ratios to BASE inside each
    round, and the cosines of its vectors with BASE's.
    """
    done: dict[str, list[Result]] = {contestant.name: [] for contestant in contestants}
    failed: dict[str, Result] = {}
    vectors: dict[str, np.ndarray] = {}
    for number in range(rounds):
        for contestant in contestants:
            name = contestant.name
            if name in failed:
                continue
            try:
                result = _embed(runner, work, contestant, chosen.get(name, {}))
            except ContestantFailed as error:
                failed[name] = _failure(contestant, error)
                continue
            done[name].append(result)
            vectors[name] = result.pop("vectors")
            _say(f"{work.model} {work.kind}, round {number + 1}: {name} {result['seconds']:.2f} s")
    tokens, texts = sum(work.lengths), len(work.lengths)
    results: list[Result] = []
    for contestant in contestants:
        name = contestant.name
        if name in failed:
            results.append(failed[name])
            continue
        seconds = [result["seconds"] for result in done[name]]
        median = statistics.median(seconds)
        results.append(
            {
                **_who(contestant, done[name][0]),
                "settings": chosen.get(name, {}),
                "seconds": seconds,
                "tokens_per_second": tokens / median,
                "texts_per_second": texts / median,
                "operations_per_second": work.operations / median,
                "peak_bytes": max(result["peak_bytes"] for result in done[name]),
                "used_by_others": max(result["used_by_others"] for result in done[name]),
                **_against_base(seconds, [result["seconds"] for result in done.get(BASE, [])]),
                **(_cosines(vectors[name], vectors[BASE]) if BASE in vectors else {}),
            }
        )
    return results


def first_vector(runner: Runner, work: Workload, contestants: Sequence[Contestant], *, rounds: int) -> list[Result]:
    """Seconds from starting a process to its first vector."""

    def once(contestant: Contestant) -> Result:
        return runner.run("first", contestant, work.folder, work.texts, max_length=work.max_length)

    # the first round warms the disk's cache for everybody and is dropped
    done = _in_turn(contestants, once, rounds=rounds + 1)
    seconds = {name: [result["wall_seconds"] for result in of_name[1:]] for name, of_name in done.items()}
    return [
        {
            **_who(contestant, done[contestant.name][0]),
            "seconds": seconds[contestant.name],
            "median_seconds": statistics.median(seconds[contestant.name]),
            **_against_base(seconds[contestant.name], seconds.get(BASE, [])),
        }
        for contestant in contestants
        if contestant.name in done
    ]


def latency(runner: Runner, work: Workload, contestants: Sequence[Contestant], *, rounds: int) -> list[Result]:
    """Seconds for one short text at a time in a warm process: medians over the rounds of its two percentiles."""

    def once(contestant: Contestant) -> Result:
        return runner.run("latency", contestant, work.folder, work.texts, max_length=work.max_length)

    done = _in_turn(contestants, once, rounds=rounds)
    return [
        {
            **_who(contestant, done[contestant.name][0]),
            **{
                name: statistics.median(result[name] for result in done[contestant.name])
                for name in ("p50_seconds", "p99_seconds")
            },
        }
        for contestant in contestants
        if contestant.name in done
    ]


def scale(
    runner: Runner,
    model: Path,
    files: Sequence[tuple[int, Path]],
    contestants: Sequence[Contestant],
    *,
    max_length: int,
) -> list[Result]:
    """Texts per second and peak memory of streams of growing length. The short ones are run again after the long one,
    and the median is kept: a machine that slows down meanwhile must not look like a cost of length.
    """
    results = []
    for contestant in contestants:
        done: dict[int, list[Result]] = {count: [] for count, _ in files}
        for count, file in [*files, *files[:-1]]:
            result = runner.run("stream", contestant, model, file, max_length=max_length)
            _say(f"{contestant.name}, {count} texts: {result['seconds']:.2f} s")
            done[count].append({**result, "rate": result["texts"] / result["seconds"]})
        first = next(iter(done.values()))
        streams = [
            {
                "texts": count,
                "texts_per_second": statistics.median(result["rate"] for result in of_count),
                "peak_bytes": max(result["peak_bytes"] for result in of_count),
            }
            for count, of_count in done.items()
        ]
        results.append({**_who(contestant, first[0]), "streams": streams})
    return results


def import_seconds(rounds: int, lock: Path | None) -> float:
    """Median seconds of importing vitrail and every public name, beyond torch."""
    program = "import torch, time; s = time.perf_counter(); from vitrail import *; print(time.perf_counter() - s)"
    with alone(lock):
        return statistics.median(
            float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
            for _ in range(rounds)
        )


def vectors_of(runner: Runner, contestant: Contestant, model: Path, texts: Sequence[str], max_length: int) -> Result:
    """The contestant's vectors of any texts, under `vectors`, and its version."""
    file = runner.work / "other-texts.json"
    file.write_text(json.dumps(list(texts)), encoding="utf-8")
    out = runner.work / "vectors.npy"
    result = runner.run("embed", contestant, model, file, max_length=max_length, out=out)
    return {**result, "vectors": np.load(out)}


def _embed(runner: Runner, work: Workload, contestant: Contestant, settings: dict[str, Any]) -> Result:
    out = runner.work / "vectors.npy"
    result = runner.run(
        "embed", contestant, work.folder, work.texts, max_length=work.max_length, out=out, chosen=settings
    )
    return {**result, "vectors": np.load(out)}


def _in_turn(
    contestants: Sequence[Contestant], once: Callable[[Contestant], Result], *, rounds: int
) -> dict[str, list[Result]]:
    """Contestant -> its result of every round; those that failed are said and left out."""
    done: dict[str, list[Result]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            if contestant.name not in done:
                continue
            try:
                done[contestant.name].append(once(contestant))
            except ContestantFailed as error:
                _failure(contestant, error)
                del done[contestant.name]
    return done


def _who(contestant: Contestant, result: Result) -> Result:
    return {"contestant": contestant.name, "version": result["version"], "precision": contestant.precision}


def _against_base(seconds: list[float], base: list[float]) -> Result:
    if not base:
        return {}
    ratio = statistics.median(theirs / ours for theirs, ours in zip(base, seconds, strict=True))
    return {"times_sentence_transformers": ratio}


def _cosines(vectors: np.ndarray, base: np.ndarray) -> Result:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(base, axis=1)
    cosines = (vectors * base).sum(1) / lengths
    return {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}


def _failure(contestant: Contestant, error: ContestantFailed) -> Result:
    _say(str(error))
    return {"contestant": contestant.name, "failed": str(error).splitlines()[-1]}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
