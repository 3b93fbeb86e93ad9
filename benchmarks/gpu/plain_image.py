"""Lets vitrail be imported where only the repository is: not installed, and without jaxtyping, which says shapes."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).parents[2] / "src"


class _Annotation:
    """Float[Tensor, "tokens hidden"] is Tensor: shapes are for readers, and for the tests that check them."""

    def __class_getitem__(cls, given: tuple[type, str]) -> type:
        return given[0]


def make_importable() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model is a folder; nobody shall wait for a network
    if find_spec("vitrail") is None:
        sys.path.insert(0, str(SOURCE))
    if find_spec("jaxtyping") is None:
        sys.modules["jaxtyping"] = stand_in()


def stand_in() -> ModuleType:
    return _StandIn("jaxtyping")


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Annotation
