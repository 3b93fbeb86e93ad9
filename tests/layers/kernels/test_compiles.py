"""What the interpreter cannot show: that the kernels compile for the GPU they are made for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("compile_for_h100.py")


def compiled(tmp_path: Path, *options: str) -> list[list[str]]:
    """(file, kernel, type, on what) of each."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, SCRIPT, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [line.split() for line in done.stdout.splitlines()]


def assert_products_run_where_they_should(lines: list[list[str]]) -> None:
    """Half precision on the tensor cores; float32 never, as there it would be TF32."""
    for file, kernel, dtype, on in lines:
        if file in ("attention_tiles", "linear"):
            assert on == ("plain" if dtype == "torch.float32" else "tensor"), (file, kernel, dtype)


def test_the_kernels_compile_for_an_h100(tmp_path: Path):
    lines = compiled(tmp_path)

    assert {line[0] for line in lines} == {"attention_tiles", "norm", "gate", "linear"}
    assert_products_run_where_they_should(lines)


@pytest.mark.slow
def test_the_kernels_compile_for_an_h100_in_all_types_and_sizes(tmp_path: Path):
    lines = compiled(tmp_path, "--all")

    assert len(lines) == 3 * 3 * 3 * 3 + 6 + 8 + 2
    assert_products_run_where_they_should(lines)
