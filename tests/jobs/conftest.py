import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fake_encoder():
    """The class of the stand-in encoder."""
    return runpy.run_path(str(Path(__file__).with_name("fake_encoder.py")))["FakeEncoder"]


@pytest.fixture
def parts_of_ten(monkeypatch):
    monkeypatch.setattr("vitrail.jobs.encoding.PART_ROWS", 10)
