"""docs/recipes.md: the last results of every recipe, beside what they must be."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes.beside import COMPARISONS, GROUPED, OURS, RANDOM, ratios
from recipes.catalogue import RECIPES, Recipe
from recipes.smaller import SIMPLIFIED
from vitrail.training.statistics import mean_interval

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
Lines = list[dict[str, Any]]
Last = Mapping[str, Lines]
SHARE = 0.6
"""Of the time of the Trainer with rows in random order, which ours must not exceed."""

FASTER = 1.5
"""Than the whole model, that a smaller one must be."""

_HEAD = """# Recipes

Written by `python -m recipes` from `recipes/results.jsonl`; do not edit. Scores are those of the test data, × 100, as
mean ± standard deviation over the seeds. No test score chose any weights; where a recipe has no validation data (the
Banking77 runs), or was tried with several settings (résumés, Chinese reviews, spam), test scores of earlier tries had a
part in the settings.
Times are of the whole run, whatever else ran on the machine: reading and checking the data, training, scoring.
"""


def write(results: Path) -> None:
    PAGE.write_text(page(last_results(results)), encoding="utf-8")


def last_results(results: Path) -> Last:
    """The lines of the last run of each recipe."""
    found: dict[str, Lines] = defaultdict(list)
    for line in results.read_text(encoding="utf-8").splitlines() if results.is_file() else []:
        entry = json.loads(line)
        if found[entry["recipe"]] and found[entry["recipe"]][0]["run"] != entry["run"]:
            found[entry["recipe"]].clear()
        found[entry["recipe"]].append(entry)
    return found


def page(last: Last) -> str:
    machines = sorted({machine_of(entry) for entries in last.values() for entry in entries})

    def on(name: str) -> str:
        """Beside times: the number of the machine, where there are several."""
        return f" ({machines.index(machine_of(last[name][0])) + 1})" if len(machines) > 1 else ""

    lines = [_HEAD]
    if len(machines) == 1:
        lines += [f"Machine: {machines[0]}.\n"]
    elif machines:
        numbered = [f"({number}) {machine}" for number, machine in enumerate(machines, start=1)]
        lines += [f"Machines, whose numbers stand beside times: {'; '.join(numbered)}.\n"]
    lines += [
        "| recipe | what | metric | score | asked | seeds | seconds, all seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(name, recipe, last[name], on(name)) for name, recipe in RECIPES.items() if last.get(name)]
    lines += ["", f"Together: {_together(last, list(RECIPES), machines)}."]
    lines += [
        "",
        "## Beside transformers' Trainer",
        "",
        "The same weights (the new head, too), token ids, steps, batch of 32, AdamW, learning rates and seeds, scored",
        "by the same code. Scores are means over the seeds. The difference to the Trainer (random order) is taken in a",
        "seed and shown with the 95 % interval of its mean: it is significant where the interval leaves 0 out. Time is",
        "that of tokenising and training; ratios are taken in a seed, and their median is shown. The Trainer that",
        "groups by length need not have run in every seed. Without dropout, and with rows in one order, both take the",
        "same steps (`tests/training/test_beside_transformers.py`); what is left is chance: the order, and what drops.",
        "",
        "| what | metric | seeds | vitrail | Trainer | Trainer, grouped | difference | seconds | × Trainer's time "
        "| × grouped |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_beside(name, last[name], on(name)) for name in COMPARISONS if last.get(name)]
    lines += [
        "",
        f"Together, with every contestant (of WNUT17 the first seed): {_together(last, list(COMPARISONS), machines)}.",
    ]
    for name in SIMPLIFIED:
        if last.get(name):
            lines += _smaller(name, last[name], on(name))
    return "\n".join([*lines, ""])


def _together(last: Last, names: list[str], machines: list[str]) -> str:
    """The time of all these with the seeds they have, on each machine that ran some of them."""
    seconds: dict[str, float] = defaultdict(float)
    for name in names:
        seeds = (RECIPES | COMPARISONS)[name].seeds
        for entry in last.get(name, []):
            seconds[machine_of(entry)] += entry["seconds"] if entry["seed"] in seeds else 0
    number = {machine: f" ({place})" if len(machines) > 1 else "" for place, machine in enumerate(machines, start=1)}
    return " and ".join(f"{seconds[each] / 60:.0f} minutes{number[each]}" for each in machines if each in seconds)


def failing(last: Last) -> list[str]:
    """A line for each recipe whose score, or time, is not what it must be."""
    found = []
    for name, recipe in RECIPES.items():
        if last.get(name):
            score, least = _mean(recipe, last[name]), _asked(recipe, last[name])
            if least is not None and score < least:
                found.append(f"{name}: {recipe.metric} {score:.2f}, asked {least:.2f}")
    for name, comparison in COMPARISONS.items():
        if entries := last.get(name, []):
            if (share := ratios(entries, RANDOM)) > SHARE:
                found.append(f"{name}: {share:.2f} of the Trainer's time, asked {SHARE}")
            if comparison.metric is not None and _is_below(_differences(entries, comparison.metric)):
                ours, theirs = (_of(entries, who, comparison.metric) for who in (OURS, RANDOM))
                found.append(f"{name}: {comparison.metric} {ours:.2f}, the Trainer's {theirs:.2f}")
    found += [
        f"{name}: no model is {FASTER} times as fast within the tolerance"
        for name in SIMPLIFIED
        if last.get(name) and not any(_is_worth_it(entry, last[name]) for entry in last[name])
    ]
    return found


def _row(name: str, recipe: Recipe, entries: Lines, machine: str) -> str:
    asked = _asked(recipe, entries)
    against = f" ({recipe.above})" if recipe.above else ""
    scores = [100 * entry["metrics"][recipe.metric] for entry in entries]
    spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    seconds = sum(entry["seconds"] for entry in entries)
    return (
        f"| `{name}` | {recipe.about} | {recipe.metric} | {statistics.mean(scores):.2f}{spread} | "
        f"{'' if asked is None else f'{asked:.2f}{against}'} | {len(entries)} | {seconds:.0f}{machine} |"
    )


def _beside(name: str, entries: Lines, machine: str) -> str:
    comparison = COMPARISONS[name]
    everyone = (OURS, RANDOM, GROUPED)
    metric = comparison.metric
    scores = [f"{_of(entries, who, metric):.2f}" if metric else "" for who in everyone]
    scores.append(_difference(_differences(entries, metric)) if metric else "")
    seeds = len({entry["seed"] for entry in entries})
    seconds = [
        f"{statistics.median(entry['seconds'] for entry in entries if entry['contestant'] == who):.0f}"
        for who in everyone
    ]
    return (
        f"| `{name}`: {comparison.about} | {metric or ''} | {seeds} | {' | '.join(scores)} "
        f"| {' / '.join(seconds)}{machine} | "
        f"{ratios(entries, RANDOM):.2f} | {ratios(entries, GROUPED):.2f} |"
    )


def _differences(entries: Lines, metric: str) -> list[float]:
    """Ours minus the Trainer's with rows in random order, a value per seed."""
    scores = {(entry["contestant"], entry["seed"]): 100 * entry["metrics"][metric] for entry in entries}
    return [scores[OURS, seed] - scores[RANDOM, seed] for seed in sorted({entry["seed"] for entry in entries})]


def _difference(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:+.2f}"
    interval = mean_interval(values)
    return f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"


def _is_below(values: list[float]) -> bool:
    """By more than seeds explain; of one seed nothing is known but its own difference."""
    return (values[0] if len(values) == 1 else mean_interval(values).high) < 0


def _smaller(name: str, entries: Lines, machine: str) -> list[str]:
    """The curve: a row per model, and the pictures."""
    metric = entries[0]["metric"]
    lines = [
        "",
        f"## `{name}`: smaller models",
        "",
        "Pruned by importance, then trained for a while with the whole model as teacher; the whole model as long.",
        f"Scores are {metric} × 100, the mean of {len(entries[0]['scores'])} seeds (± the reach of its 95 % interval):",
        "on the validation data, on the test data, and on the validation data before that training. Speed: `embed` on",
        f"one machine{machine}, all models in every round, the ratio of medians.",
        "",
        f"| layers | heads | FFN | parameters without embeddings | × speed | {metric} | test | untuned | opened by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        score, reach = entry["score"]["mean"], entry["score"]["high"] - entry["score"]["mean"]
        test, untuned = (100 * statistics.mean(entry[key].values()) for key in ("test", "untuned"))
        mark = " ◆" if _is_worth_it(entry, entries) else ""
        cells = [entry["layers"], entry["heads"], entry["feed_forward"], f"{entry['layer_parameters'] / 1e6:.1f} M"]
        cells += [f"{entry['times']:.2f}{mark}", f"{100 * score:.2f} ± {100 * reach:.2f}", f"{test:.2f}"]
        cells += [f"{untuned:.2f}", entry["opened_by"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        f"◆: at least {FASTER} times as fast, with at most {100 * entries[0]['tolerance']:g} points less.",
        "",
    ]
    return lines + [f"![{what}](pictures/{name}-{what}.png)" for what in ("size", "speed")]


def _is_worth_it(entry: Mapping[str, Any], entries: Lines) -> bool:
    whole = next(each for each in entries if each["whole"])
    return entry["times"] >= FASTER and whole["score"]["mean"] - entry["score"]["mean"] <= entry["tolerance"]


def _mean(recipe: Recipe, entries: Lines) -> float:
    return statistics.mean(100 * entry["metrics"][recipe.metric] for entry in entries)


def _asked(recipe: Recipe, entries: Lines) -> float | None:
    if recipe.above is not None:
        return statistics.mean(100 * entry["metrics"][recipe.above] for entry in entries)
    return recipe.at_least


def _of(entries: Lines, contestant: str, metric: str) -> float:
    return statistics.mean(100 * entry["metrics"][metric] for entry in entries if entry["contestant"] == contestant)


def machine_of(entry: Mapping[str, Any]) -> str:
    machine = entry["machine"]
    return f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, torch {machine['torch']}"
