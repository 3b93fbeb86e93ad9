"""One real encoder for the whole folder, and texts of many lengths and scripts."""

from pathlib import Path

import pytest

import vitrail

SENTENCES = [
    "A short text.",
    "The quick brown fox jumps over the lazy dog, and then it does so again.",
    "",
    "   ",
    "Ein Satz auf Deutsch mit Umlauten: äöüß.",
    "注意力机制让每个词看到所有其他词。",
    "مرحبا بالعالم",
    "emoji 👩‍👩‍👧 and e\u0301 combining",
    "word " * 90,
    "[CLS] literal specials [SEP]",
    "a",
    "What is attention? " * 12,
]


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(minilm_folder, device="cpu")
