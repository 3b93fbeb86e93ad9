"""The same sources built other ways: under the sanitizers, for Arm, and AVX-VNNI's kernels in AVX-512's encoding."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vitrail.backends.native import instruction_set, is_built

ROOT = Path(__file__).parents[3]
ARM = "aarch64-linux-gnu"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_built() or not shutil.which("cmake"), reason="no compiler, or no cmake, here"),
]


def build(folder: Path, *options: str) -> None:
    subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(folder), *(f"-D{option}" for option in options)],
        check=True,
        capture_output=True,
    )
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True, capture_output=True)


def run_the_tests(isa: str, replace_library: str) -> subprocess.CompletedProcess[str]:
    """The tests of what the engine gives, in a process of its own in which another library is loaded."""
    tests = ["-q", "-k", isa, "-o", "addopts=--import-mode=importlib", "tests/backends/native/test_results.py"]
    script = (
        "import sys, pathlib, pytest\n"
        "from vitrail.backends.native import engine, library\n"
        f"{replace_library}\n"
        f"sys.exit(pytest.main({tests}))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])},
    )


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


def test_the_sanitizers_find_nothing(tmp_path: Path):
    build(tmp_path, "VITRAIL_SANITIZE=ON")

    done = subprocess.run([str(tmp_path / "sanitize_driver")], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.skipif(not is_built() or "avx512" not in instruction_set(), reason="needs a processor with AVX512-VNNI")
def test_the_kernels_for_avx_vnni_pass_the_same_tests(tmp_path: Path):
    """This processor may lack AVX-VNNI, whose kernels would then never run."""
    build(tmp_path, "VITRAIL_EVEX_DOT=ON")

    check(run_the_tests("avxvnni", f"library._file = lambda: pathlib.Path({str(tmp_path)!r}) / 'vitrail_native.so'"))


@pytest.mark.timeout(1500)
def test_the_kernels_for_arm_pass_the_same_tests_under_emulation(tmp_path: Path):
    """Python and torch stay on this processor; each call goes to the engine in an emulator."""
    missing = [name for name in (f"{ARM}-g++", "qemu-aarch64") if not shutil.which(name)]
    if missing:
        pytest.fail(f"this test needs {' and '.join(missing)}: install the packages g++-{ARM} and qemu-user (Debian)")
    system = ("CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64", f"CMAKE_CXX_COMPILER={ARM}-g++")
    build(tmp_path, *system, "VITRAIL_REMOTE=ON")
    emulated = ["qemu-aarch64", "-L", f"/usr/{ARM}", str(tmp_path / "remote_engine")]

    check(
        run_the_tests(
            "neondot",
            "from backends.native.remote import Remote\n"
            f"remote = Remote({emulated})\n"
            "library.library = engine.library = lambda: remote",
        )
    )
