"""What `make demo` shows, in a new folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.slow
def test_the_demo_finds_functions_by_what_they_do(tmp_path: Path):
    done = subprocess.run([sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo-out" / "functions.parquet").is_file()
    first = re.findall(r"^ +1 .*$", done.stdout, flags=re.MULTILINE)
    assert "directory tree" in first[0]
    assert "random" in first[2]
