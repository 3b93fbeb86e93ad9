"""What a simplification found, as report.md with two pictures, and as plain data: report.json.

metric, seeds, tuned, whole (a shape)
models     for each: the shape, parameters, layer_parameters (without embeddings), untuned and scores and test (by
           seed), score and difference from the whole model (mean, low, high), verdict, speed (tokens_per_second, low,
           high), times (its speed over the whole model's), model (its folder), opened_by
importance heads (layers × heads), layers: means over the seeds
chosen     the fastest model whose mean score is within the tolerance, or null
verdict    sentences
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.compression.importance_scores import Importance
from vitrail.compression.simplify.config import SimplifyConfig
from vitrail.compression.simplify.trials import Trial
from vitrail.files.markdown import table
from vitrail.intervals import fields_of, plus_or_minus
from vitrail.models import EncoderSpec
from vitrail.models.alternatives import Shape, layer_parameters
from vitrail.models.arithmetic import count_parameters
from vitrail.pictures.tradeoff import draw_tradeoff
from vitrail.training.evaluation import LOSS
from vitrail.training.plan import trials as plan_trials
from vitrail.training.plan.arithmetic import described
from vitrail.training.plan.speed import Speed
from vitrail.training.plan.verdict import Standing, pareto, standings

SIZE_PICTURE, SPEED_PICTURE = "size.png", "speed.png"


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that a simplification has found. models: the folder of each shape."""

    config: SimplifyConfig
    metric: str
    whole: Shape
    trials: Sequence[Trial]
    importances: Sequence[Importance]
    specs: Mapping[Shape, EncoderSpec]
    speeds: Mapping[Shape, Speed]
    models: Mapping[Shape, Path]

    def of(self, shape: Shape) -> list[Trial]:
        return [trial for trial in self.trials if trial.shape == shape]


def write_report(folder: Path, found: Found) -> dict[str, Any]:
    """Write report.json, report.md and the pictures; returns what report.json holds."""
    facts = facts_of(folder, found)
    (folder / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    draw(folder, facts)
    (folder / "report.md").write_text(markdown(facts), encoding="utf-8")
    return facts


def facts_of(folder: Path, found: Found) -> dict[str, Any]:
    stands = standings([_as_planned(trial) for trial in found.trials], metric=found.metric, configured=found.whole)
    fast = {shape: speed.tokens_per_second for shape, speed in found.speeds.items()}
    small = {shape: -float(layer_parameters(spec)) for shape, spec in found.specs.items()}
    fronts = {
        "fastest": pareto(stands, fast, metric=found.metric),
        "smallest": pareto(stands, small, metric=found.metric),
    }
    models = [
        _model(folder, each, found) | {name: each.shape in front for name, front in fronts.items()} for each in stands
    ]
    chosen = _chosen(models, found)
    return {
        "metric": found.metric,
        "seeds": list(found.config.simplify.seeds),
        "tuned": found.config.simplify.tune,
        "tolerance": found.config.simplify.tolerance,
        "whole": described(found.whole),
        "models": models,
        "importance": {
            "rows": found.importances[0].rows,
            "heads": np.mean([each.heads for each in found.importances], axis=0).tolist(),
            "layers": np.mean([each.layers for each in found.importances], axis=0).tolist(),
        },
        "chosen": chosen,
        "verdict": _sentences(models, chosen, found),
    }


def markdown(facts: Mapping[str, Any]) -> str:
    metric = facts["metric"]
    header = ["model", "parameters", "tokens/s", "times", f"{metric}, untuned", metric, "test", "less than whole"]
    rows = [
        [
            _name(each) + (" (whole)" if each["whole"] else ""),
            f"{each['parameters'] / 1e6:.1f} M ({each['layer_parameters'] / 1e6:.1f} M)",
            f"{each['speed']['tokens_per_second']:,.0f}",
            f"{each['times']:.2f}",
            f"{np.mean(list(each['untuned'].values())):.4f}",
            plus_or_minus(each["score"], ""),
            "–" if each["test"] is None else f"{np.mean(list(each['test'].values())):.4f}",
            plus_or_minus(each["difference"], "+"),
        ]
        for each in facts["models"]
    ]
    heads = [
        [str(layer), f"{rise:+.3f}", " ".join(f"{head:.3f}" for head in row)]
        for layer, (rise, row) in enumerate(
            zip(facts["importance"]["layers"], facts["importance"]["heads"], strict=True)
        )
    ]
    lines = [
        "# Simplified",
        "",
        *(f"- {sentence}" for sentence in facts["verdict"]),
        "",
        *table(header, rows),
        "",
        f"Scores: on the validation data, mean over {len(facts['seeds'])} seeds with its 95 % interval (Student's t); "
        "untuned: as soon as the parts have gone. Less than whole: the paired difference, intervals corrected for "
        "the number of models (Bonferroni)"
        + (", the whole model trained as long as the others. " if facts["tuned"] else ". ")
        + "Parameters: in all, and without the embeddings. Tokens/s: of embed on this machine, the median of rounds in "
        "which every model runs; times: over the whole model's median. Models that nothing is both better and faster "
        "than are joined in the picture.",
        "",
        f"![score over size]({SIZE_PICTURE})",
        "",
        f"![score over speed]({SPEED_PICTURE})",
        "",
        "## What matters",
        "",
        f"On {facts['importance']['rows']} training rows, mean over the seeds: how much the loss rises without a "
        "layer, and how fast it changes with each head's gate (mean of |∂loss/∂gate|).",
        "",
        *table(["layer", "loss without it", "heads 0, 1, …"], heads),
    ]
    return "\n".join(lines) + "\n"


def draw(folder: Path, facts: Mapping[str, Any]) -> None:
    score = f"{facts['metric']}, mean of {len(facts['seeds'])} seeds and 95 % interval"
    whole = _name(facts["whole"])
    for path, front, label, across in (
        (SIZE_PICTURE, "smallest", "million parameters, embeddings not counted", _millions),
        (SPEED_PICTURE, "fastest", "tokens/s of embed on this machine", _tokens_per_second),
    ):
        points = {
            _name(each): (across(each), each["score"]["mean"], each["score"]["low"], each["score"]["high"])
            for each in facts["models"]
        }
        joined = [_name(each) for each in facts["models"] if each[front]]
        draw_tradeoff(
            folder / path, points, front=joined, marked=whole, marked_as="the whole model", score=score, speed=label
        )


def _model(folder: Path, standing: Standing, found: Found) -> dict[str, Any]:
    shape, trials = standing.shape, found.of(standing.shape)
    spec, speed = found.specs[shape], found.speeds[shape]
    place = found.models[shape]
    kind = json.loads((place / "config.json").read_text(encoding="utf-8"))["model_type"]
    tested = {str(trial.seed): trial.test for trial in trials if trial.test is not None}
    return described(shape) | {
        "whole": shape == found.whole,
        "parameters": count_parameters(spec).total,
        "layer_parameters": layer_parameters(spec),
        "untuned": {str(trial.seed): trial.untuned for trial in trials},
        "scores": {str(trial.seed): trial.score for trial in trials},
        "test": tested or None,
        "score": fields_of(standing.score),
        "difference": fields_of(standing.difference),
        "verdict": standing.verdict,
        "speed": asdict(speed),
        "times": speed.tokens_per_second / found.speeds[found.whole].tokens_per_second,
        "model": str(place.relative_to(folder)),
        "opened_by": "vitrail" if kind == "vitrail" else "vitrail and transformers",
    }


def _chosen(models: Sequence[Mapping[str, Any]], found: Found) -> dict[str, Any] | None:
    """The fastest whose mean score is within the tolerance of the whole model's."""
    sign = -1 if found.metric == LOSS else 1
    whole = next(each for each in models if each["whole"])
    near = [
        each
        for each in models
        if not each["whole"]
        and sign * (each["score"]["mean"] - whole["score"]["mean"]) >= -found.config.simplify.tolerance
    ]
    best = max(near, key=lambda each: each["times"], default=None)
    return None if best is None else {"model": best["model"], "times": best["times"]}


def _sentences(models: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None, found: Found) -> list[str]:
    tolerance, metric = found.config.simplify.tolerance, found.metric
    if chosen is None:
        return [f"No smaller model is within {tolerance:g} {metric} of the whole one."]
    each = next(each for each in models if each["model"] == chosen["model"])
    whole = next(each for each in models if each["whole"])
    said = [
        f"{_name(each)} is {each['times']:.2f} times as fast as the whole model, with {each['score']['mean']:.4f} "
        f"{metric} against {whole['score']['mean']:.4f}; it is in {each['model']}, for {each['opened_by']}."
    ]
    if each["difference"] is not None and each["difference"]["low"] < -tolerance:
        said.append(
            f"With so few seeds its loss could still be more than the tolerance of {tolerance:g}: the difference lies "
            f"between {each['difference']['low']:+.4f} and {each['difference']['high']:+.4f}."
        )
    return said


def _as_planned(trial: Trial) -> plan_trials.Trial:
    return plan_trials.Trial(
        shape=trial.shape, seed=trial.seed, metric=trial.metric, score=trial.score, steps=None, seconds=None, error=None
    )


def _millions(each: Mapping[str, Any]) -> float:
    return each["layer_parameters"] / 1e6


def _tokens_per_second(each: Mapping[str, Any]) -> float:
    return each["speed"]["tokens_per_second"]


def _name(each: Mapping[str, Any]) -> str:
    return str(Shape(**{axis: each[axis] for axis in ("layers", "width", "heads", "feed_forward")}))
