"""Measure everything, keep it as JSON lines, write the tables.

    python -m benchmarks [--rounds 5] [--texts 2000] [--data DIR] [--only throughput,first,cranfield]

Run it on a machine that does nothing else. Results are appended to benchmarks/results/cpu.jsonl, one line per
contestant and measurement, with the machine, versions and time of the run; docs/benchmarks.md and the README's table
are written from the last run in that file.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cranfield, machine, report, rounds
from benchmarks.texts import skewed_texts

RESULTS = Path(__file__).parent / "results" / "cpu.jsonl"
MEASUREMENTS = ("throughput", "first", "import", "cranfield")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=os.environ.get("VITRAIL_DATA"))
    parser.add_argument("--only", default=",".join(MEASUREMENTS))
    parser.add_argument("--report", action="store_true", help="only write the tables again")
    options = parser.parse_args()
    if not options.report:
        measure(options, options.only.split(","))
    report.write(RESULTS)


def measure(options: argparse.Namespace, wanted: list[str]) -> None:
    import vitrail
    from vitrail.checkpoints.hub import locate

    unknown = set(wanted) - set(MEASUREMENTS)
    if unknown:
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: choose among {', '.join(MEASUREMENTS)}")
    data = None if options.data is None else Path(options.data)
    model = str(locate(None).folder)
    run = {"run": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    lines: list[dict[str, object]] = []
    if "throughput" in wanted:
        texts = skewed_texts(options.texts, data=data)
        lengths = vitrail.load(model, device="cpu").tokenizer.encode(texts, max_length=256).used_tokens
        described = {
            "texts": len(texts),
            "tokens": int(lengths.sum()),
            "mean_tokens": float(lengths.mean()),
            "p95_tokens": int(sorted(lengths)[int(0.95 * len(lengths))]),
            "with_cranfield": data is not None,
        }
        results = rounds.throughput(texts, model, rounds=options.rounds, lengths=lengths.tolist())
        lines += [{"measurement": "throughput", **described, **result} for result in results]
    if "first" in wanted:
        results = rounds.first_vector("A text.", model, rounds=options.rounds)
        lines += [{"measurement": "first", **result} for result in results]
    if "import" in wanted:
        lines.append({"measurement": "import", "seconds_beyond_torch": rounds.import_seconds(options.rounds)})
    if "cranfield" in wanted:
        if data is None:
            print("cranfield is left out: name its folder with --data or $VITRAIL_DATA", file=sys.stderr)
        else:
            lines += [{"measurement": "cranfield", **result} for result in cranfield.ndcg(data, model)]
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        for line in lines:
            stream.write(json.dumps({**run, **line}) + "\n")


if __name__ == "__main__":
    main()
