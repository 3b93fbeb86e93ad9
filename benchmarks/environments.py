"""One virtual environment for each stack of rivals, so that none holds back another's versions.

`benchmarks/environments/NAME.txt` pins what goes into `.venv-benchmarks/NAME`; `python -m benchmarks environments`
makes those that are missing or were made from other pins. vitrail runs in the environment the benchmark is started in.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

PINS = Path(__file__).parent / "environments"
FOLDER = Path(__file__).parents[1] / ".venv-benchmarks"


def names() -> list[str]:
    return sorted(file.stem for file in PINS.glob("*.txt"))


def make(name: str) -> None:
    """Fill the environment with its pins; nothing is done where that has been done."""
    folder, pins = FOLDER / name, PINS / f"{name}.txt"
    if _is_made(name):
        return
    print(f"making {folder}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", "-r", pins], check=True)  # the pins are complete
    (folder / "pins.sha256").write_text(_digest(pins))


def python(name: str) -> str:
    """The interpreter of an environment; "" is the one that is running."""
    if not name:
        return sys.executable
    if not _is_made(name):
        raise SystemExit(f"the environment {name} is not there; make it with `python -m benchmarks environments`")
    return str(FOLDER / name / "bin" / "python")


def digest(name: str) -> str:
    """What changes whenever the environment's pins do."""
    return _digest(PINS / f"{name}.txt") if name else ""


def _is_made(name: str) -> bool:
    stamp = FOLDER / name / "pins.sha256"
    return stamp.is_file() and stamp.read_text() == _digest(PINS / f"{name}.txt")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
