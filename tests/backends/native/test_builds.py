"""The same sources built two other ways: under the sanitizers, and with AVX-VNNI's kernels in AVX-512's encoding."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vitrail.backends.native import instruction_set, is_built

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_built() or not shutil.which("cmake"), reason="no compiler, or no cmake, here"),
]


def build(folder: Path, option: str) -> None:
    subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), f"-D{option}=ON"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True, capture_output=True)


def test_the_sanitizers_find_nothing(tmp_path: Path):
    build(tmp_path, "VITRAIL_SANITIZE")

    done = subprocess.run([str(tmp_path / "sanitize_driver")], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.skipif(not is_built() or "avx512" not in instruction_set(), reason="needs a processor with AVX512-VNNI")
def test_the_kernels_for_avx_vnni_pass_the_same_tests(tmp_path: Path):
    """This processor may lack AVX-VNNI, whose kernels would then never run."""
    build(tmp_path, "VITRAIL_EVEX_DOT")
    tests = ["-q", "-k", "avxvnni", "-o", "addopts=--import-mode=importlib", "tests/backends/native/test_results.py"]
    script = (
        "import sys, pathlib, pytest, vitrail.backends.native.library as library\n"
        f"library._file = lambda: pathlib.Path({str(tmp_path)!r}) / 'vitrail_native.so'\n"
        f"sys.exit(pytest.main({tests}))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
