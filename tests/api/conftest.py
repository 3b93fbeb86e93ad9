"""One real encoder for the whole folder."""

from pathlib import Path

import pytest

import vitrail


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(minilm_folder, device="cpu")
