"""`python -m recipes [NAME…] [--data DIR]`: run them (all without a name), keep the results, write docs/recipes.md.

The data folder is $VITRAIL_DATA without --data. --seeds 6 gives a comparison six seeds in place of its own. Exit code 1
where a score is not what it must be.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from recipes import beside, report, smaller
from recipes.catalogue import RECIPES, Recipe

RESULTS = Path(__file__).parent / "results.jsonl"


def main() -> int:
    known = [*RECIPES, *beside.COMPARISONS, *smaller.SIMPLIFIED]
    parser = argparse.ArgumentParser(prog="python -m recipes", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--data", type=Path, default=os.environ.get("VITRAIL_DATA"), help="default: $VITRAIL_DATA")
    parser.add_argument("--seeds", type=int, metavar="N", help=f"of {', '.join(beside.COMPARISONS)}: 0 to N - 1")
    parser.add_argument("--report", action="store_true", help="only write docs/recipes.md from the results there are")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no recipe {', '.join(unknown)}; there are {', '.join(known)}")
    compared = bool(options.names) and set(options.names) <= set(beside.COMPARISONS)
    if options.seeds is not None and (options.seeds < 1 or not compared):
        parser.error(f"--seeds, at least 1, goes with {', '.join(beside.COMPARISONS)}; other recipes have their own")
    if not options.report:
        if options.data is None or not Path(options.data).is_dir():
            parser.error(
                "say where the data are: --data DIR or $VITRAIL_DATA (docs/data-and-models.md has their sources)"
            )
        os.environ["VITRAIL_DATA"] = str(options.data)
        for name in options.names or known:
            with tempfile.TemporaryDirectory() as folder:
                results = _lines(name, Path(folder), options.seeds)
            keep(results)
    report.write(RESULTS)
    failing = report.failing(report.last_results(RESULTS))
    for line in failing:
        print(line, file=sys.stderr)
    return 1 if failing else 0


def _lines(name: str, folder: Path, seeds: int | None) -> list[dict[str, Any]]:
    if name in RECIPES:
        return _recipe(name, folder)
    return beside.run(name, folder, seeds) if name in beside.COMPARISONS else smaller.run(name, folder)


def _recipe(name: str, folder: Path) -> list[dict[str, Any]]:
    """A line per seed."""
    recipe: Recipe = RECIPES[name]
    results = []
    for seed in recipe.seeds:
        began = time.perf_counter()
        metrics = recipe.run(seed, folder / str(seed))
        seconds = time.perf_counter() - began
        results.append({"recipe": name, "seed": seed, "seconds": seconds, "metrics": metrics})
        print(f"{name}, seed {seed}: {100 * metrics[recipe.metric]:.2f} in {seconds:.0f} s", flush=True)
    if len(results) > 1:
        print(f"{name}: mean {statistics.mean(100 * one['metrics'][recipe.metric] for one in results):.2f}")
    return results


def keep(results: list[dict[str, Any]]) -> None:
    run = {"run": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps({**run, **each}) + "\n" for each in results)


if __name__ == "__main__":
    sys.exit(main())
