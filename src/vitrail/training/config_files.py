"""A configuration from a file, a mapping or an object, with `a.b=value` on top; and every fault of it in one error."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from vitrail.tasks import Task
from vitrail.training.config import RunConfig

Kind = TypeVar("Kind", bound=BaseModel)


def read_config(
    source: RunConfig | Mapping[str, Any] | str | os.PathLike[str], overrides: Sequence[str] = ()
) -> RunConfig:
    """The validated configuration. overrides: `training.epochs=3`, the value read as YAML.

    Raises ValueError that names every unknown key, with what was perhaps meant, and every bad value.
    """
    return read_as(RunConfig, source, overrides)


def read_as(kind: type[Kind], source: Any, overrides: Sequence[str] = ()) -> Kind:
    """As `read_config`, for a configuration of another kind."""
    if isinstance(source, kind):
        values = source.model_dump(mode="json")
    elif isinstance(source, Mapping):
        values = dict(source)
    else:
        values = _read_yaml(Path(source))
    for override in overrides:
        values = _override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError(_explained(error, kind)) from None


def options_of(task: type[Task], options: Mapping[str, Any]) -> Any:
    """The task's own options; raises ValueError for one it does not have."""
    known = [field.name for field in fields(task.Options)]
    for name in options:
        if name not in known:
            raise ValueError(f"task.options.{name}: no such key; {_hint(name, known)}")
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return task.Options(**made)


def write_config(config: BaseModel, path: Path) -> None:
    """Every key with the value it has in this run."""
    import yaml

    path.write_text(
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    values = _parsed(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(values, dict):
        raise ValueError(
            f"{path} holds a {type(values).__name__}, not the keys of a configuration (model, task, data, …)"
        )
    return values


def _override(values: dict[str, Any], override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ValueError(f"override {override!r}: write it as section.key=value, for example training.epochs=3")
    return _with(values, path.split("."), _parsed(text, override))


def _with(values: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    if isinstance(values, str):  # `task: name`, the short form
        values = {"name": values}
    inner = dict(values or {})
    inner[path[0]] = _with(inner.get(path[0]), path[1:], value)
    return inner


def _parsed(text: str, where: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 takes 1e-4 for a text, and everybody means the number."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML: {error}") from None


_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


def _explained(error: ValidationError, kind: type[BaseModel]) -> str:
    lines = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"] if part != "function-before[_named(), ModelConfig]")
        if fault["type"] == "extra_forbidden":
            known = _keys_at(fault["loc"][:-1], kind)
            lines.append(f"{place}: no such key; {_hint(str(fault['loc'][-1]), known)}")
        elif fault["type"] == "missing":
            lines.append(f"{place}: missing")
        else:
            given = fault["input"] if isinstance(fault["input"], str | int | float | bool) else None
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {message}" + ("" if given is None else f", got {given!r}"))
    return "the configuration cannot be used: " + "; ".join(lines)


def _keys_at(loc: Sequence[int | str], kind: type[BaseModel]) -> list[str]:
    """The keys of the section that `loc` leads to."""
    section = kind
    for part in loc:
        field = section.model_fields.get(str(part))
        if field is None:
            continue
        kinds = (field.annotation, *get_args(field.annotation))
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), section)
    return sorted(section.model_fields)


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
