"""The tables of the docs, written from the last results of each measurement."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"
COMMAND = "make bench"


def write(results: Path) -> None:
    last = last_results(results)
    (ROOT / "docs" / "benchmarks.md").write_text(page(last), encoding="utf-8")
    for name in ("README.md", "README.zh-CN.md"):
        readme = ROOT / name
        text = readme.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            before, _, rest = text.partition(BEGIN)
            readme.write_text(f"{before}{BEGIN}\n{summary(last)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def last_results(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Measurement -> its results in the last run that has it."""
    last: dict[str, list[dict[str, Any]]] = {}
    for line in results.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        kept = last.setdefault(result["measurement"], [])
        if kept and kept[0]["run"] != result["run"]:
            kept.clear()
        kept.append(result)
    return last


def summary(last: dict[str, list[dict[str, Any]]]) -> str:
    """One table of what matters most: text to vectors, and the wait for the first."""
    first = {result["contestant"]: result for result in last.get("first", [])}
    rows = [
        "| all-MiniLM-L6-v2, float32, CPU | tokens/s | × sentence-transformers | start to first vector |",
        "|---|---|---|---|",
    ]
    for result in last.get("throughput", []):
        name = result["contestant"]
        wait = f"{first[name]['median_seconds']:.1f} s" if name in first else ""
        ratio = result["times_sentence_transformers"]
        rows.append(f"| {label(result)} | {result['tokens_per_second']:,.0f} | {ratio:.2f} | {wait} |")
    return "\n".join(rows)


def label(result: dict[str, Any]) -> str:
    name = result["contestant"]
    how = {"transformers": ", SDPA, sorted, batch 32", "sentence-transformers": ", default"}.get(name, "")
    return f"{name} {result['machine'][name]}{how}"


def page(last: dict[str, list[dict[str, Any]]]) -> str:
    parts = [
        "# Benchmarks\n",
        f"Written by `{COMMAND}` from `benchmarks/results/cpu.jsonl`; do not edit. Each contestant runs in a process "
        "of its own, in turn, several rounds; figures are medians over the rounds, ratios are taken inside each round "
        "and their median is shown. The texts are docstrings of Python's standard library and, where the data folder "
        "has them, the abstracts of Cranfield: all distinct, drawn once with a fixed seed. No cache is on.\n",
    ]
    if results := last.get("throughput"):
        one = results[0]
        parts += [
            "## Text to vectors\n",
            f"{one['texts']:,} texts, {one['tokens']:,} tokens (mean {one['mean_tokens']:.0f}, 95 % below "
            f"{one['p95_tokens'] + 1}). {_machine(one)}\n",
            "| | seconds (each round) | tokens/s | texts/s | × sentence-transformers | peak memory | worst cosine |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {label(result)} | {', '.join(f'{value:.1f}' for value in result['seconds'])} | "
                f"{result['tokens_per_second']:,.0f} | {result['texts_per_second']:,.0f} | "
                f"{result['times_sentence_transformers']:.2f} | {result['peak_bytes'] / 2**20:,.0f} MiB | "
                f"{result['worst_cosine_to_sentence_transformers']:.7f} |"
                for result in results
            ),
            "\nWorst cosine: of all texts, the least agreement with the vector that sentence-transformers gives.\n",
        ]
    if results := last.get("first"):
        parts += [
            "## From starting a process to the first vector\n",
            f"{_machine(results[0])}\n",
            "| | seconds (each round) | median | × sentence-transformers |",
            "|---|---|---|---|",
            *(
                f"| {label(result)} | {', '.join(f'{value:.2f}' for value in result['seconds'])} | "
                f"{result['median_seconds']:.2f} s | {result['times_sentence_transformers']:.2f} |"
                for result in results
            ),
            "",
        ]
    if results := last.get("import"):
        seconds = results[0]["seconds_beyond_torch"]
        parts += [f"Importing vitrail with every public name takes {seconds:.2f} s beyond `import torch`.\n"]
    if results := last.get("cranfield"):
        parts += [
            "## Retrieval on Cranfield\n",
            "The same weights, the same texts: 1,400 abstracts, 225 queries, nDCG@10.\n",
            "| | nDCG@10 |",
            "|---|---|",
            *(f"| {label(result)} | {result['ndcg_at_10']:.4f} |" for result in results),
            "",
        ]
    return "\n".join(parts)


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"Machine: {machine['processor']}, {machine['cores']} cores; Python {machine['python']}, "
        f"torch {machine['torch']}; {result['run'][:10]}."
    )
