"""`precision="float16"` on a CPU: the engine's where the processor multiplies it, torch's elsewhere, nearly float32."""

from pathlib import Path

import pytest
import torch
from tests.api.sentences import SENTENCES

import vitrail
from vitrail.backends.inference import NATIVE, TORCH
from vitrail.backends.native import FLOAT16_NEEDS, instruction_set


@pytest.fixture(scope="module")
def half(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(minilm_folder, precision="float16", device="cpu")


def test_vectors_are_nearly_those_of_float32_and_not_the_same(half: vitrail.Encoder, minilm: vitrail.Encoder):
    cosines = (half.embed(SENTENCES) * minilm.embed(SENTENCES)).sum(1)

    assert cosines.min() >= 0.9999
    assert cosines.min() < 1 - 1e-7


def test_the_engine_runs_it_where_the_processor_multiplies_float16(half: vitrail.Encoder):
    assert half.precision == "float16"
    wanted = f"{NATIVE}, float16, {FLOAT16_NEEDS}" if instruction_set() == FLOAT16_NEEDS else TORCH
    assert half.runtime["backend"].startswith(wanted)


def test_on_any_other_instruction_set_torch_runs_it_and_says_why(
    half: vitrail.Encoder, minilm_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VITRAIL_ISA", "avx2")
    elsewhere = vitrail.load(minilm_folder, precision="float16", device="cpu")

    assert f"only where the processor has {FLOAT16_NEEDS}; here it has avx2" in elsewhere.runtime["backend"]
    assert (elsewhere.embed(SENTENCES) * half.embed(SENTENCES)).sum(1).min() >= 0.9999


def test_calling_it_with_ids_runs_the_model_in_float16(half: vitrail.Encoder):
    assert half(torch.tensor([[101, 2023, 102]])).dtype == torch.float16


def test_a_model_of_two_precisions_runs_on_torch(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, precision="float16", device="cpu")
    encoder.model.layers[0].attention.query.to(torch.float32)

    assert encoder.runtime["backend"].startswith(TORCH)
