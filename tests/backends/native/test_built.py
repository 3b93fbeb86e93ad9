"""Where a compiler exists, the engine was built with the package; without one, the package is complete all the same."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from backends.native.conftest import NAMES
from vitrail.backends.native import instruction_set, is_built

ROOT = Path(__file__).parents[3]
HAS_COMPILER = any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "c++", "g++", "clang++"))
HAS_ENGINE = platform.machine() in ("x86_64", "AMD64") or (platform.machine(), platform.system()) == (
    "aarch64",
    "Linux",
)


@pytest.mark.skipif(not (HAS_COMPILER and HAS_ENGINE), reason="no C++ compiler for x86-64 or Arm here, so no engine")
def test_the_engine_was_built_as_a_compiler_exists():
    assert is_built()
    assert instruction_set() in NAMES


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake here")
def test_without_a_compiler_the_build_succeeds_and_builds_nothing(tmp_path: Path):
    environment = os.environ | {"CXX": str(tmp_path / "no-such-compiler")}
    configured = subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert "no C++ compiler" in configured.stdout

    subprocess.run(["cmake", "--build", str(tmp_path)], check=True, capture_output=True)
    subprocess.run(["cmake", "--install", str(tmp_path), "--prefix", str(tmp_path / "installed")], check=True)
    assert not list(tmp_path.rglob("vitrail_native*"))
