"""What `import vitrail`, with every public name, costs and brings with it, in a fresh process."""

import json
import subprocess
import sys

import pytest

# Used by parts of vitrail, and loaded when those parts are.
LATE = (
    "transformers",
    "sentence_transformers",
    "pyarrow",
    "rich",
    "typer",
    "huggingface_hub",
    "nanotoken",
    "matplotlib",
    "scipy",
    "sklearn",
)
MOST = 1 / 3  # of the time that torch takes, on whichever machine

SCRIPT = f"""
import json, sys, time
start = time.process_time()
import torch
before, torch_is_there = set(sys.modules), time.process_time()
from vitrail import *
share = (time.process_time() - torch_is_there) / (torch_is_there - start)
print(json.dumps([share, [name for name in {LATE} if name in set(sys.modules) - before]]))
"""


@pytest.fixture(scope="module")
def imports() -> list[tuple[float, list[str]]]:
    """(processor time beyond torch as a share of torch's own, late packages that came along), five times."""
    outputs = (subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout for _ in range(5))
    return [tuple(json.loads(output)) for output in outputs]


def test_it_takes_a_third_of_the_time_of_torch_at_most(imports: list[tuple[float, list[str]]]):
    """The least of the shares: whatever else runs on the machine adds to one side or the other."""
    assert min(share for share, _ in imports) <= MOST


def test_it_loads_no_package_that_only_some_parts_need(imports: list[tuple[float, list[str]]]):
    assert [late for _, late in imports] == [[]] * len(imports)
