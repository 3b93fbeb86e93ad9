"""The tables of the docs, written from the last results of each measurement on each processor."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine, picture
from benchmarks.contestants import ALL, BASE, BY_NAME, OURS
from benchmarks.gpu import section as gpu
from benchmarks.models import SHAPES
from benchmarks.rounds import Result
from benchmarks.workloads import COUNTS, KINDS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"
COMMAND = "make bench"
Last = dict[tuple[str, str, str], list[Result]]  # measurement, model, kind of texts

_HEAD = f"""# Benchmarks

Written by `{COMMAND}` from `benchmarks/results/cpu.jsonl`; do not edit. Each contestant runs in a process and an
environment of its own (`benchmarks/environments`), one at a time, in turn, as many rounds as a table shows; figures are
medians over the rounds, ratios are taken inside each round and their median is shown. All texts are distinct and drawn
once with a fixed seed, no set is a part of another; no cache is on. Tokens are those of the texts, padding not counted.
Every contestant
uses all cores and mean pooling; rivals without a loop of their own are given one that sorts by length, and where
settings are shown they are the fastest of those tried on MiniLM with the same kind of texts (long ones: the skewed).
Larger shapes have drawn weights and MiniLM's tokenizer: speed does not depend on the values, and their cosines only
show that the same model was computed. The processor with the most instructions for such products comes first.
"""


def write(results: Path) -> None:
    by_processor = last_results(results)
    last = most_capable(by_processor)
    (ROOT / "docs" / "benchmarks.md").write_text(page(by_processor), encoding="utf-8")
    (ROOT / "docs" / "benchmarks.svg").write_text(picture.bars(shown(last)), encoding="utf-8")
    for name in ("README.md", "README.zh-CN.md"):
        readme = ROOT / name
        text = readme.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            before, _, rest = text.partition(BEGIN)
            readme.write_text(f"{before}{BEGIN}\n{summary(last)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def last_results(results: Path) -> dict[str, Last]:
    """By processor, the one with the most telling flags first, of equals the one measured last: the results of each
    measurement, model and kind of texts in the last run that has them.
    """
    by_processor: dict[str, Last] = {}
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    for line in lines:
        result = json.loads(line)
        processor = result["machine"]["processor"]
        last = by_processor[processor] = by_processor.pop(processor, {})
        kept = last.setdefault((result["measurement"], result.get("model", ""), result.get("kind", "")), [])
        if kept and kept[0]["run"] != result["run"]:
            kept.clear()
        kept.append(result)
    newest_first = reversed(by_processor.items())
    return dict(sorted(newest_first, key=lambda item: -sum(flag in item[0] for flag in machine.TELLING)))


def most_capable(by_processor: dict[str, Last]) -> Last:
    """What the README and the picture show: the first processor that read the skewed texts."""
    return next((last for last in by_processor.values() if shown(last)), {})


def shown(last: Last) -> list[Result]:
    """MiniLM on the skewed texts, fastest first."""
    return _ranked(last.get(("throughput", "minilm", "skewed"), []))


def summary(last: Last) -> str:
    """What matters most, for the README: ours, the plain rival and the best of the others in each precision."""
    first = {result["contestant"]: result for result in last.get(("first", "", ""), [])}
    alone = {result["contestant"]: result for result in last.get(("latency", "", ""), [])}
    ranked = shown(last)
    rivals = [result for result in ranked if not _is_ours(result) and result["contestant"] != BASE]
    best = {
        precision: [one for one in rivals if one["precision"] == precision][:1] for precision in ("float32", "int8")
    }
    names = {result["contestant"] for result in ranked if _is_ours(result) or result["contestant"] == BASE}
    names |= {result["contestant"] for results in best.values() for result in results}
    rows = [
        "| all-MiniLM-L6-v2, CPU | tokens/s | × sentence-transformers | one short text | start to first vector |",
        "|---|---|---|---|---|",
    ]
    for result in ranked:
        name = result["contestant"]
        if name in names:
            rows.append(
                f"| {label(result)} | {result['tokens_per_second']:,.0f} | "
                f"{_cell(result, 'times_sentence_transformers', '.2f')} | "
                f"{_cell(alone.get(name, {}), 'p50_seconds', '.2f', ' ms', 1000)} | "
                f"{_cell(first.get(name, {}), 'median_seconds', '.1f', ' s')} |"
            )
    return "\n".join(rows)


def label(result: Result) -> str:
    """The contestant, its version and how it was run."""
    contestant = BY_NAME[result["contestant"]]
    settings = ", ".join(f"{_WORDS[name]} {value or 'cores'}" for name, value in result.get("settings", {}).items())
    parts = [f"{contestant.package} {result['version']}", contestant.precision, contestant.how, settings]
    return ", ".join(part for part in parts if part)


_WORDS = {"batch_size": "batch", "streams": "streams"}


def page(by_processor: dict[str, Last]) -> str:
    parts = [_HEAD]
    if any(shown(last) for last in by_processor.values()):
        parts += ["![Text to vectors, MiniLM-L6 on skewed texts](benchmarks.svg)\n"]
    for processor, last in by_processor.items():
        parts += [f"# On one processor: {processor}\n", *_peaks(last)]
        for model, kind in COUNTS:
            if results := last.get(("throughput", model, kind)):
                parts += _throughput(results, last.get(("peaks", "", ""), []))
        for measurement, section in _SECTIONS.items():
            if results := last.get((measurement, "", "")):
                parts += section(results)
        parts += _not_measured(processor, last)
    return "\n".join([*parts, gpu.text(gpu.last_results(gpu.RESULTS))])


def _peaks(last: Last) -> list[str]:
    if not (results := last.get(("peaks", "", ""))):
        return []
    found = results[0]
    names = dict.fromkeys([*found["registers"], *found["library"]])
    return [
        "## What the machine can do\n",
        "Products of matrices in thousand million operations per second on all cores, a multiply-add being two: with "
        f"registers alone (`benchmarks/peaks.c`), and torch's best. {_machine(found)}\n",
        "| | registers | library |",
        "|---|---|---|",
        *(
            f"| {name} | {_cell(found['registers'], name, ',.0f', scale=1e-9)} | "
            f"{_cell(found['library'], name, ',.0f', scale=1e-9)} |"
            for name in names
        ),
        "",
    ]


def _throughput(results: list[Result], peaks: list[Result]) -> list[str]:
    one, ranked = results[0], _ranked(results)
    registers = peaks[0]["registers"] if peaks else {}
    lines = [
        f"## {SHAPES[one['model']].label}, {KINDS[one['kind']]}\n",
        f"{one['texts']:,} texts, {one['tokens']:,} tokens (mean {one['tokens'] / one['texts']:.0f}, 95 % below "
        f"{one['p95_tokens'] + 1}). {_machine(one)}{_beside(ranked)}\n",
        *(f"- {line}" for line in comparisons(ranked)),
        "",
        "| | seconds (each round) | tokens/s | texts/s | × sentence-transformers | of the register peak | "
        "peak memory | cosine to float32: mean, worst |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in ranked:
        peak = registers.get(result["precision"])
        share = f"{result['operations_per_second'] / peak:.0%}" if peak and "operations_per_second" in result else ""
        lines.append(
            f"| {label(result)} | {_rounds(result, '.2f')} | {result['tokens_per_second']:,.0f} | "
            f"{result['texts_per_second']:,.0f} | {_cell(result, 'times_sentence_transformers', '.2f')} | {share} | "
            f"{result['peak_bytes'] / 2**20:,.0f} MiB | {_cell(result, 'cosine_mean', '.5f')}, "
            f"{_cell(result, 'cosine_min', '.5f')} |"
        )
    return [*lines, ""]


def _beside(results: Sequence[Result]) -> str:
    shares = [result["used_by_others"] for result in results if "used_by_others" in result]
    return f" Beside the one measured, other processes used at most {max(shares):.0%} of the cores." if shares else ""


def comparisons(results: Sequence[Result]) -> list[str]:
    """Ours against the best rival of the same precision: the median of the ratios inside the rounds."""
    lines = []
    for ours in (result for result in results if _is_ours(result)):
        rivals = [one for one in results if not _is_ours(one) and one["precision"] == ours["precision"]]
        if rivals:
            best = max(rivals, key=lambda result: result["tokens_per_second"])
            ratio = statistics.median(
                theirs / mine for theirs, mine in zip(best["seconds"], ours["seconds"], strict=True)
            )
            lines.append(f"{ours['contestant']} is {ratio:.2f} × its best {ours['precision']} rival ({label(best)})")
    return lines


def _latency(results: list[Result]) -> list[str]:
    return [
        "## One short text at a time\n",
        f"200 different texts of 12 tokens in a warm process, all-MiniLM-L6-v2. {_machine(results[0])}\n",
        "| | p50 | p99 |",
        "|---|---|---|",
        *(
            f"| {label(result)} | {1000 * result['p50_seconds']:.2f} ms | {1000 * result['p99_seconds']:.2f} ms |"
            for result in sorted(results, key=lambda result: result["p50_seconds"])
        ),
        "",
    ]


def _first(results: list[Result]) -> list[str]:
    return [
        "## From starting a process to the first vector\n",
        f"all-MiniLM-L6-v2, converted beforehand where a rival needs it. {_machine(results[0])}\n",
        "| | seconds (each round) | median | × sentence-transformers |",
        "|---|---|---|---|",
        *(
            f"| {label(result)} | {_rounds(result, '.2f')} | {result['median_seconds']:.2f} s | "
            f"{_cell(result, 'times_sentence_transformers', '.2f')} |"
            for result in sorted(results, key=lambda result: result["median_seconds"])
        ),
        "",
    ]


def _imports(results: list[Result]) -> list[str]:
    seconds = results[0]["seconds_beyond_torch"]
    return [f"Importing vitrail with every public name takes {seconds:.2f} s beyond `import torch`.\n"]


def _scale(results: list[Result]) -> list[str]:
    return [
        "## Streams of any length\n",
        f"`embed_stream` over texts of 12 tokens, nothing kept. {_machine(results[0])}\n",
        "| | texts | tokens/s | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {label(result)} | {stream['texts']:,} | {12 * stream['texts_per_second']:,.0f} | "
            f"{stream['peak_bytes'] / 2**20:,.0f} MiB |"
            for result in results
            for stream in result["streams"]
        ),
        "",
    ]


def _quality(results: list[Result]) -> list[str]:
    return [
        "## What the precision costs\n",
        "The same weights (all-MiniLM-L6-v2): retrieval on Cranfield (1,400 abstracts, 225 queries), similarity on "
        "the test part of STS-B (1,379 pairs).\n",
        "| | Cranfield nDCG@10 | STS-B Spearman × 100 |",
        "|---|---|---|",
        *(
            f"| {label(result)} | {result['cranfield_ndcg_at_10']:.4f} | {result['stsb_spearman']:.2f} |"
            for result in results
            if _failure(result) is None
        ),
        "",
    ]


_SECTIONS: dict[str, Callable[[list[Result]], list[str]]] = {
    "latency": _latency,
    "first": _first,
    "import": _imports,
    "scale": _scale,
    "quality": _quality,
}


def _not_measured(processor: str, last: Last) -> list[str]:
    reasons = {
        f"- {BY_NAME[result['contestant']].name}, {SHAPES[model].label if model else measurement} {kind}: {failure}"
        for (measurement, model, kind), results in last.items()
        for result in results
        if (failure := _failure(result)) is not None
    }
    reasons |= {f"- {one.name}: the processor does not have {one.needs}" for one in ALL if one.needs not in processor}
    return ["## Not measured\n", *sorted(reasons), ""] if reasons else []


def _ranked(results: list[Result]) -> list[Result]:
    measured = [result for result in results if _failure(result) is None]
    return sorted(measured, key=lambda result: -result["tokens_per_second"])


def _failure(result: Result) -> str | None:
    """Why a result does not count; None: it does."""
    if math.isnan(result.get("cosine_mean", 0.0)):
        return "its vectors are not numbers (NaN)"
    return result.get("failed")


def _is_ours(result: Result) -> bool:
    return result["contestant"].split()[0] == OURS


def _rounds(result: Result, form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in result["seconds"])


def _cell(result: Result, name: str, form: str, unit: str = "", scale: float = 1) -> str:
    return f"{result[name] * scale:{form}}{unit}" if name in result else ""


def _machine(result: Result) -> str:
    machine = result["machine"]
    return (
        f"Machine: {machine['processor']}, {machine['cores']} cores; Python {machine['python']}, "
        f"torch {machine['torch']}; {result['run'][:10]}."
    )
