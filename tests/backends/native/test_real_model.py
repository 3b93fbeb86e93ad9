"""The real MiniLM: float32 equals the torch path, and int8 keeps the vectors' directions."""

from pathlib import Path

import pytest
import torch
from benchmarks.texts import skewed_texts
from torch import Tensor

import vitrail
from vitrail.backends.native import NativeEngine
from vitrail.layers.packing import Packing

NUM_TEXTS = 300
LONGEST = 128


@pytest.fixture(scope="module")
def encoder(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(str(minilm_folder))


@pytest.fixture(scope="module")
def batch(encoder: vitrail.Encoder) -> tuple[Tensor, Packing]:
    texts = encoder.tokenizer.encode(skewed_texts(NUM_TEXTS), max_length=LONGEST)
    lengths = (texts.boundaries[1:] - texts.boundaries[:-1]).tolist()
    return torch.from_numpy(texts.ids), Packing.of(lengths)


@pytest.fixture(scope="module")
def expected(encoder: vitrail.Encoder, batch: tuple[Tensor, Packing]) -> Tensor:
    with torch.inference_mode():
        return encoder.inference.run(*batch)


def cosines(a: Tensor, b: Tensor, packing: Packing) -> Tensor:
    """Of the mean vector of each text."""
    means = [torch.stack([part.mean(dim=0) for part in packing.split(each)]) for each in (a, b)]
    return torch.cosine_similarity(*means)


def test_float32_equals_the_torch_path(
    isa: str, encoder: vitrail.Encoder, batch: tuple[Tensor, Packing], expected: Tensor
):
    found = NativeEngine(encoder.model, "float32", 2).run(*batch)

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_int8_keeps_the_directions(isa: str, encoder: vitrail.Encoder, batch: tuple[Tensor, Packing], expected: Tensor):
    found = cosines(NativeEngine(encoder.model, "int8", 2).run(*batch), expected, batch[1])

    assert found.mean() >= (0.9985 if isa == "avx2" else 0.999)  # its weights have wider steps: see pack.cpp
    assert found.min() >= 0.995
