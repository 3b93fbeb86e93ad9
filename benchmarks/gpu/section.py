"""The GPU's part of docs/benchmarks.md, from the last lines of benchmarks/results/gpu.jsonl."""

import json
from pathlib import Path
from typing import Any

Result = dict[str, Any]
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.jsonl"
TITLE = "## On a GPU"
COMMAND = "python -m benchmarks gpu"
Last = dict[tuple[str, str], list[Result]]  # measurement, shape

_HEADS = {
    "forward": "forward over skewed lengths",
    "texts": "texts to vectors",
    "training": "a step of training: forward, backward, AdamW",
}
_UNMEASURED = (
    f"Not measured: no GPU was at hand. `{COMMAND}` measures it on one (with drawn weights of the shapes of MiniLM-L6, "
    "BERT-base and BERT-large), appends to `benchmarks/results/gpu.jsonl` and writes this section; until then nothing "
    "is claimed of GPUs here."
)


def write() -> None:
    """Write the page again, with this section as the results are now."""
    page = ROOT / "docs" / "benchmarks.md"
    before = page.read_text(encoding="utf-8").partition(f"{TITLE}\n")[0]
    page.write_text(before + text(last_results(RESULTS)), encoding="utf-8")


def last_results(results: Path) -> Last:
    """The results of each measurement and shape in the last run that has them."""
    last: Last = {}
    for line in results.read_text(encoding="utf-8").splitlines() if results.is_file() else []:
        result = json.loads(line)
        kept = last.setdefault((result["measurement"], result.get("shape", "")), [])
        if kept and kept[0]["run"] != result["run"]:
            kept.clear()
        kept.append(result)
    return last


def text(last: Last) -> str:
    if ("peak", "") not in last:
        return f"{TITLE}\n\n{_UNMEASURED}\n"
    peak = last["peak", ""][0]
    machine = peak["machine"]
    parts = [
        f"{TITLE}\n",
        f"Written by `{COMMAND}` from `benchmarks/results/gpu.jsonl`. Drawn weights; lengths log-normal around 45 "
        "tokens, from 4 to 512; tokens are those of the texts, padding not counted; the median of the rounds. "
        f"{machine['device']}, Python {machine['python']}, torch {machine['torch']}, transformers "
        f"{machine['transformers']}; {peak['run'][:10]}. The share of the peak is of its own bfloat16 product of "
        f"{peak['size']:,}² matrices: {peak['operations_per_second'] / 1e12:,.0f} TFLOP/s.\n",
    ]
    for (measurement, _), results in last.items():
        if measurement in _HEADS:
            parts += _table(f"{results[0]['label']}, {_HEADS[measurement]}", results)
    rows = [result for (measurement, _), results in last.items() for result in results if measurement == "cosine"]
    if rows:
        parts += ["### Cosine of vectors to vitrail's own float32\n", "| | mean | worst |", "|---|---|---|"]
        parts += [
            f"| {row['label']}, {row['precision']} | {row['cosine_mean']:.6f} | {row['cosine_min']:.6f} |"
            for row in rows
        ]
        parts.append("")
    return "\n".join(parts)


def times(results: list[Result]) -> dict[str, float]:
    """How many times as fast ours is as the rival with its default (sentence-transformers) and its best setting."""
    measured = [result for result in results if "failed" not in result]
    ours = [result for result in measured if result["contestant"] == "vitrail"]
    theirs = [result for result in measured if result["contestant"] != "vitrail"]
    if not (ours and theirs):
        return {}
    fastest = max(result["tokens_per_second"] for result in ours)
    best = max(theirs, key=lambda result: result["tokens_per_second"])
    found = {f"{label(best)}, its best": fastest / best["tokens_per_second"]}
    if theirs[0]["contestant"] == "sentence-transformers":
        found[f"{label(theirs[0])}, its default"] = fastest / theirs[0]["tokens_per_second"]
    return found


def label(result: Result) -> str:
    batch = f", batch {result['batch_size']}" if "batch_size" in result else ""
    return f"{result['contestant']}, {result['precision']}{batch}"


def _table(title: str, results: list[Result]) -> list[str]:
    first = results[0]
    kernel = f"vitrail's attention: `{first['kernel']}`."
    tokenizer = f" Its tokenizer: {first['tokenizer']}." if "share_of_forward" in first else ""
    lines = [
        f"### {title}\n",
        f"{first['sequences']:,} sequences, {first['tokens']:,} tokens. {kernel}{tokenizer}\n",
        *(f"- {ratio:.1f} × {words}" for words, ratio in times(results).items()),
        "",
        "| | tokens/s | sequences/s | of the peak | of its forward |",
        "|---|---|---|---|---|",
    ]
    for result in sorted(results, key=lambda result: -result.get("tokens_per_second", 0)):
        if "failed" in result:
            lines.append(f"| {label(result)} | {result['failed']} | | | |")
            continue
        forward = f"{result['share_of_forward']:.0%}" if "share_of_forward" in result else ""
        lines.append(
            f"| {label(result)} | {result['tokens_per_second']:,.0f} | {result['sequences_per_second']:,.0f} | "
            f"{result['share_of_peak']:.1%} | {forward} |"
        )
    return [*lines, ""]
