"""docs/training.md names every key of a configuration with its default, every task, and nothing else."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs.pages import ROOT, blocks
from vitrail.compression.simplify.config import SimplifySection
from vitrail.tasks import TASKS
from vitrail.training.adapt.config import AdaptConfig, DownstreamConfig, VocabularyConfig
from vitrail.training.config import (
    AveragingConfig,
    DistillConfig,
    LoggingConfig,
    LoraConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TokenizerConfig,
    TrainingConfig,
)
from vitrail.training.datasets import DataConfig
from vitrail.training.plan.config import SweepConfig

PAGE = ROOT / "docs" / "training.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "model": ModelConfig,
    "model.tokenizer": TokenizerConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "optimizer": OptimizerConfig,
    "averaging": AveragingConfig,
    "lora": LoraConfig,
    "distill": DistillConfig,
    "logging": LoggingConfig,
    "plan": SweepConfig,
    "simplify": SimplifySection,
    "adapt": AdaptConfig,
    "vocabulary": VocabularyConfig,
    "downstream": DownstreamConfig,
}
ELSEWHERE = {"required": PydanticUndefined, "—": None}


def value_of(said: str) -> Any:
    """Of a cell; YAML alone would read 1e-08 as a word."""
    if said in ELSEWHERE:
        return ELSEWHERE[said]
    return float(said) if re.fullmatch(r"\d+e-\d+", said) else yaml.safe_load(said)


def tables() -> dict[str, dict[str, Any]]:
    """By heading: the default that stands beside each key; a section that has a table of its own gives its text."""
    found: dict[str, dict[str, Any]] = {}
    for part in re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        if heading := re.match(r"`([\w.-]+)`\n", part):
            rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", part, re.M)
            found[heading[1]] = {key: value_of(said) for key, said in rows}
    return found


def defaults_of(section: type[BaseModel]) -> dict[str, Any]:
    """As YAML would write them; the sections inside by what the page says in their place."""
    found = {}
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            default = "see below" if key == "vocabulary" else "see above"
        found[key] = list(default) if isinstance(default, tuple) else default
    return found


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_has_its_keys_and_their_defaults_in_order(name: str):
    assert list(tables()[name].items()) == list(defaults_of(SECTIONS[name]).items())


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_its_options_and_their_defaults_in_order(name: str):
    assert list(tables()[name].items()) == [(each.name, each.default) for each in fields(TASKS[name].Options)]


def test_there_are_no_other_tables():
    assert set(tables()) == {*SECTIONS, *TASKS}
    assert set(SECTIONS) >= set(RunConfig.model_fields) - {"task"}


def test_a_task_has_its_columns_and_metrics():
    table = PAGE.read_text(encoding="utf-8").partition("\n| task |")[2].partition("\n\n")[0]
    rows = {
        name: (columns, metrics)
        for name, columns, metrics in re.findall(r"^\| `(.+)` \| (.*) \| (.*) \|$", table, re.M)
    }
    assert set(rows) == set(TASKS)
    for name, task in TASKS.items():
        columns, metrics = rows[name]
        shown = [(column, not may) for column, may in re.findall(r"`(\w+)`( \(may be missing\))?", columns)]
        made = task(None, labels=("a", "b"), options=task.Options())
        assert shown == [(role.name, role.required) for role in task.roles], name
        assert re.findall(r"`(.+?)`", metrics) == list(made.metric_names), name


def is_of_an_adaptation(config: Mapping[str, Any]) -> bool:
    return "task" not in config


def test_the_examples_are_configurations():
    found = [yaml.safe_load(block.body) for block in blocks(PAGE, "yaml")]

    assert len(found) == 3
    for config in found:
        (AdaptConfig if is_of_an_adaptation(config) else RunConfig).model_validate(config)
