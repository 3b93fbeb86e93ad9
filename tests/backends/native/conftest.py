"""The instruction sets this machine can run."""

from collections.abc import Iterator
from functools import cache

import pytest

from vitrail.backends.native import FLOAT16_NEEDS, instruction_set, is_built
from vitrail.errors import BackendError

NAMES = ("avx512fp16", "avx512bf16", "avx512vnni", "avxvnni", "avx2", "neondot")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"isa", "precision"} <= set(metafunc.fixturenames):
        cases = [(isa, precision) for isa in available() for precision in precisions_of(isa)]
        metafunc.parametrize(("isa", "precision"), cases, indirect=["isa"], scope="module")
    elif "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", available(), indirect=True, scope="module")


def precisions_of(isa: str) -> tuple[str, ...]:
    return ("float32", "int8", "float16") if isa == FLOAT16_NEEDS else ("float32", "int8")


@pytest.fixture(scope="module")
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this machine in turn, chosen as a user would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRAIL_ISA", request.param)
        yield request.param


@cache
def available() -> list[str]:
    """Those of NAMES that this processor runs."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES if is_built() else ():
            patch.setenv("VITRAIL_ISA", name)
            try:
                found.append(instruction_set())
            except BackendError:
                continue
    return found
