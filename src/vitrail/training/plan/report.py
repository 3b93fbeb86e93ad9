"""What a sweep found, as report.md with its picture, and as plain data: report.json.

metric, length, budget, configured (a shape), seeds
shapes     for each that was compared: the shape, parameters (of the layers), multiply_adds (a text of `length`),
           scores (by seed), failed (by seed), score and difference (mean, low, high, or null), verdict, pareto,
           speed (tokens_per_second, low, high)
searched   shapes with their score, best first; empty without a search
worst_deviation   of a compared shape from the budget, as a fraction
verdict    sentences
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitrail.files.markdown import table
from vitrail.intervals import fields_of, plus_or_minus
from vitrail.models import EncoderSpec
from vitrail.models.alternatives import Shape, cost_of, layer_parameters, reshaped
from vitrail.models.arithmetic import count_work
from vitrail.pictures.tradeoff import draw_tradeoff
from vitrail.training.plan.arithmetic import described
from vitrail.training.plan.config import PlanConfig
from vitrail.training.plan.shapes import Space
from vitrail.training.plan.speed import Speed
from vitrail.training.plan.trials import Trial
from vitrail.training.plan.verdict import Standing, pareto, sentences

PICTURE = "tradeoff.png"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that a sweep has found. trials: those that are compared. searched: those of a search, best first."""

    config: PlanConfig
    space: Space
    metric: str
    standings: Sequence[Standing]
    trials: Sequence[Trial]
    searched: Sequence[Trial]
    speeds: Mapping[Shape, Speed]


def write_report(folder: Path, measured: Measured) -> dict[str, Any]:
    """Write report.json, report.md and the picture; returns what report.json holds."""
    facts = facts_of(measured)
    (folder / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    drawn = draw(folder / PICTURE, facts)
    (folder / "report.md").write_text(markdown(facts, picture=drawn), encoding="utf-8")
    return facts


def facts_of(measured: Measured) -> dict[str, Any]:
    space, sweep = measured.space, measured.config.plan
    speeds = {shape: speed.tokens_per_second for shape, speed in measured.speeds.items()}
    front = pareto(measured.standings, speeds, metric=measured.metric)
    return {
        "metric": measured.metric,
        "length": space.length,
        "budget": sweep.budget,
        "seconds": sweep.seconds,
        "configured": described(space.configured),
        "seeds": list(sweep.seeds),
        "shapes": [
            _shape(each, reshaped(space.spec, each.shape), space.length, measured)
            | {"pareto": each.shape in front, "configured": each.shape == space.configured}
            for each in measured.standings
        ],
        "searched": [described(trial.shape) | {"score": trial.score} for trial in measured.searched],
        "worst_deviation": _deviation(measured),
        "verdict": sentences(
            measured.standings, configured=space.configured, seeds=len(sweep.seeds), metric=measured.metric
        ),
    }


def markdown(facts: Mapping[str, Any], *, picture: bool) -> str:
    header = ["shape", "parameters", "multiply-adds", "tokens/s", facts["metric"], "against configured", "verdict"]
    rows = [
        [
            _name(each) + (" (configured)" if each["configured"] else ""),
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
            f"{each['speed']['tokens_per_second']:,.0f}" + (" ◆" if each["pareto"] else ""),
            plus_or_minus(each["score"], ""),
            plus_or_minus(each["difference"], "+"),
            "" if each["configured"] else each["verdict"],
        ]
        for each in facts["shapes"]
    ]
    budget = {
        "parameters": "All shapes have the same number of parameters in their layers",
        "multiply_adds": f"All shapes take the same number of multiply-adds for a text of {facts['length']} tokens",
        "seconds": f"All shapes were trained for about {facts['seconds']} s",
    }[facts["budget"]]
    lines = [
        "# Plan: heads, attention and feed-forward",
        "",
        *(f"- {sentence}" for sentence in facts["verdict"]),
        "",
        *table(header, rows),
        "",
        f"{budget}, up to {facts['worst_deviation']:.1%}. Parameters are those of the layers, without embeddings; "
        f"multiply-adds those of a text of {facts['length']} tokens, the median here. Scores: mean over "
        f"{len(facts['seeds'])} seeds of the best validation score, with its 95 % interval (Student's t). Tokens/s: of "
        "embed on this machine, the median of paired rounds. ◆: no other shape is both better and faster.",
    ]
    if picture:
        lines += ["", f"![score over speed]({PICTURE})"]
    if facts["searched"]:
        rows = [[_name(each), f"{each['score']:.4f}"] for each in facts["searched"]]
        lines += ["", "## The search", "", "One seed that the comparison does not use; the best were compared.", ""]
        lines += table(["shape", facts["metric"]], rows)
    return "\n".join(lines) + "\n"


def draw(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether there was anything to draw."""
    points = {
        _name(each): (
            each["speed"]["tokens_per_second"],
            each["score"]["mean"],
            each["score"]["low"],
            each["score"]["high"],
        )
        for each in facts["shapes"]
        if each["score"] is not None
    }
    if not points:
        return False
    draw_tradeoff(
        path,
        points,
        front=[_name(each) for each in facts["shapes"] if each["pareto"]],
        marked=_name({**facts["configured"]}),
        score=f"{facts['metric']}, mean of {len(facts['seeds'])} seeds and 95 % interval",
        speed="tokens/s of embed on this machine",
    )
    return True


def _shape(standing: Standing, spec: EncoderSpec, length: int, measured: Measured) -> dict[str, Any]:
    return described(standing.shape) | {
        "parameters": layer_parameters(spec),
        "multiply_adds": count_work(spec, length).total,
        "scores": {str(seed): score for seed, score in standing.scores.items()},
        "failed": {str(seed): error for seed, error in standing.failed.items()},
        "score": fields_of(standing.score),
        "difference": fields_of(standing.difference),
        "verdict": standing.verdict,
        "speed": asdict(measured.speeds[standing.shape]),
    }


def _deviation(measured: Measured) -> float:
    """How far, at most, a shape is from the budget: in what it costs, or in the seconds it was trained for."""
    space, sweep = measured.space, measured.config.plan
    if sweep.budget == "seconds":
        assert sweep.seconds is not None
        return max(abs((each.seconds or 0) / sweep.seconds - 1) for each in measured.trials if each.error is None)
    cost = cost_of(sweep.budget, space.length)
    wanted = cost(space.spec)
    return max(abs(cost(reshaped(space.spec, each.shape)) / wanted - 1) for each in measured.standings)


def _name(each: Mapping[str, Any]) -> str:
    return str(Shape(**{axis: each[axis] for axis in ("layers", "width", "heads", "feed_forward")}))
