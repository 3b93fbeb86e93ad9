"""Measure everything, keep it as JSON lines, write the tables.

    python -m benchmarks environments        # once: a virtual environment for each stack of rivals
    python -m benchmarks gpu                 # on a machine with a GPU: see benchmarks/gpu/measure.py
    python -m benchmarks [--data DIR] [--only throughput,latency] [--models minilm] [--kinds skewed] [--rounds 3]

Run it on a machine that does nothing else. Results are appended to benchmarks/results/cpu.jsonl, one line per
contestant and measurement, with the machine, versions and time of the run; docs/benchmarks.md and the README's table
are written from the last results of each kind in that file.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environments, machine, peaks, quality, report, rounds, workloads
from benchmarks.contestants import ALL, BASE, BY_NAME, OURS
from benchmarks.processes import Runner, alone

RESULTS = Path(__file__).parent / "results" / "cpu.jsonl"
MEASUREMENTS = ("peaks", "tuning", "throughput", "latency", "first", "import", "scale", "quality")


def main() -> None:
    if sys.argv[1:2] == ["gpu"]:
        from benchmarks.gpu import measure

        measure.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["environments"]:
        for name in environments.names():
            environments.make(name)
        return
    options = _options()
    if not options.report:
        Measuring(options).run()
    report.write(RESULTS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--data", type=Path, default=os.environ.get("VITRAIL_DATA"), help="holds cranfield and stsb")
    parser.add_argument("--only", type=_some_of(MEASUREMENTS), default=MEASUREMENTS, help=", ".join(MEASUREMENTS))
    parser.add_argument("--models", type=_some_of(tuple(workloads.models.SHAPES)), default=None)
    parser.add_argument("--kinds", type=_some_of(tuple(workloads.KINDS)), default=None, help="of texts")
    parser.add_argument("--contestants", type=_some_of(tuple(BY_NAME)), default=tuple(BY_NAME), help="names, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=environments.FOLDER / "work", help="models and conversions")
    parser.add_argument("--lock", type=Path, default=None, help="a file to lock while a process is measured")
    parser.add_argument("--report", action="store_true", help="only write the tables again")
    return parser.parse_args()


def _some_of(names: tuple[str, ...]):
    def parse(text: str) -> tuple[str, ...]:
        wanted = tuple(text.split(","))
        if unknown := set(wanted) - set(names):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose among {', '.join(names)}")
        return wanted

    return parse


class Measuring:
    """One run: what was asked for, in an order in which each measurement finds what it needs from those before."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.data = None if options.data is None else Path(options.data)
        self.contestants = [one for one in ALL if one.runs_here and one.name in {*options.contestants, BASE}]
        options.work.mkdir(parents=True, exist_ok=True)
        self.runner = Runner(
            work=options.work, calibration=workloads.calibration(options.work, self.data), lock=options.lock
        )
        self.stamp = {"run": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}

    def run(self) -> None:
        for measurement in MEASUREMENTS:
            if measurement in self.options.only:
                getattr(self, f"_{measurement}")()

    def _peaks(self) -> None:
        with alone(self.options.lock):
            self._keep("peaks", [{"registers": peaks.registers(), "library": peaks.library()}])

    def _tuning(self) -> None:
        for kind in self._kinds("minilm"):
            work = self._workload("minilm", kind)
            tried = [one for one in self._able(work.family) if len(one.tried) > 1]
            self._keep("tuning", rounds.tuning(self.runner, work, tried), kind=kind)

    def _throughput(self) -> None:
        for model in self.options.models or workloads.models.SHAPES:
            for kind in self._kinds(model):
                work = self._workload(model, kind)
                results = rounds.throughput(
                    self.runner, work, self._able(work.family), self._best(kind), rounds=self.options.rounds
                )
                ordered = sorted(work.lengths)
                described = {
                    "model": model,
                    "kind": kind,
                    "texts": len(ordered),
                    "tokens": sum(ordered),
                    "p95_tokens": ordered[int(0.95 * len(ordered))],
                    "operations": work.operations,
                    "with_cranfield": self.data is not None,
                }
                self._keep("throughput", results, **described)

    def _latency(self) -> None:
        work = self._workload("minilm", "short", count=220)
        self._keep("latency", rounds.latency(self.runner, work, self._able("bert"), rounds=self.options.rounds))

    def _first(self) -> None:
        work = self._workload("minilm", "short", count=220)
        self._keep("first", rounds.first_vector(self.runner, work, self._able("bert"), rounds=self.options.rounds))

    def _import(self) -> None:
        self._keep("import", [{"seconds_beyond_torch": rounds.import_seconds(5, self.options.lock)}])

    def _scale(self) -> None:
        ours = [one for one in self.contestants if one.name.split()[0] == OURS]
        model, files = (
            workloads.model_folder("minilm", self.options.work),
            workloads.streams(self.options.work, self.data),
        )
        max_length = workloads.MAX_LENGTHS["short"]
        self._keep("scale", rounds.scale(self.runner, model, files, ours, max_length=max_length))

    def _quality(self) -> None:
        if self.data is None:
            raise SystemExit("quality needs Cranfield and the STS benchmark: name their folder with --data")
        judged = [one for one in self._able("bert") if one.precision == "int8" or one.name in (OURS, BASE)]
        model = workloads.model_folder("minilm", self.options.work)
        self._keep("quality", quality.measure(self.runner, judged, model, self.data, max_length=256))

    def _kinds(self, model: str) -> list[str]:
        return [
            kind
            for of_model, kind in workloads.COUNTS
            if of_model == model and kind in (self.options.kinds or workloads.KINDS)
        ]

    def _able(self, family: str) -> list:
        return [one for one in self.contestants if family in one.families]

    def _best(self, kind: str) -> dict[str, dict]:
        """The settings that the last tuning with these texts chose; where there was none, with the skewed ones. Best on
        this processor; where nothing was tuned on it, on another.
        """
        by_processor = report.last_results(RESULTS)
        own = by_processor.get(str(machine.describe()["processor"]), {})
        keys = [("tuning", "", kind), ("tuning", "", "skewed")]
        tuned = next((last[key] for last in (own, *by_processor.values()) for key in keys if key in last), [])
        return {result["contestant"]: result["best"] for result in tuned if "best" in result}

    def _workload(self, model: str, kind: str, count: int | None = None) -> workloads.Workload:
        return workloads.make(model, kind, work=self.options.work, data=self.data, count=count)

    def _keep(self, measurement: str, results: list[dict], **described) -> None:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as stream:
            for result in results:
                stream.write(json.dumps({**self.stamp, "measurement": measurement, **described, **result}) + "\n")


if __name__ == "__main__":
    main()
