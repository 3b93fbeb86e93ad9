"""The CUDA path on a real GPU: the same vectors as on the CPU, overlapped, cut when memory is out, on two processes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import vitrail
from vitrail.backends.inference import LAID_OUT
from vitrail.cli.main import app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
TEXTS = [f"text number {n} " * (1 + n % 97) for n in range(3000)]


@pytest.mark.filterwarnings("ignore::vitrail.errors.TruncationWarning")
def test_vectors_are_those_of_the_cpu_and_half_types_are_near(minilm_folder: Path):
    wanted = vitrail.load(minilm_folder, device="cpu").embed(TEXTS)
    for precision, worst in (("float32", 0.999999), ("bfloat16", 0.9995), ("float16", 0.9995)):
        encoder = vitrail.load(minilm_folder, device="cuda", precision=precision)
        assert encoder.inference.path.name == LAID_OUT
        for budget in (None, 4096):  # one step, and many that overlap
            found = encoder.embed(TEXTS, batch_tokens=budget)
            assert (found * wanted).sum(1).min() >= worst


@pytest.mark.filterwarnings("ignore::vitrail.errors.TruncationWarning")
def test_a_step_larger_than_the_memory_is_cut(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, device="cuda", precision="bfloat16")
    wanted = encoder.embed(TEXTS, batch_tokens=4096)
    used, total = torch.cuda.memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((used + 2**27) / total)
    try:
        found = encoder.embed(TEXTS, batch_tokens=2**20)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert (found * wanted).sum(1).min() >= 0.9995


def test_training_has_gradients_on_the_kernel_for_gpus(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, device="cuda").train()
    ids = torch.randint(5, 1000, (3, 70), device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        hidden = encoder(ids)
    hidden.float().pow(2).mean().backward()

    for parameter in (encoder.model.layers[0].attention.query.weight, encoder.model.embeddings.tokens.weight):
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.filterwarnings("ignore::vitrail.errors.TruncationWarning")
def test_two_processes_write_the_vectors_of_one(minilm_folder: Path, tmp_path: Path):
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    for name, options in (("one", ["--device", "cuda:0"]), ("two", ["--devices", "cuda:0,cuda:0"])):
        command = ["embed", str(tmp_path / "in.txt"), "-o", str(tmp_path / f"{name}.npy"), *options]
        assert CliRunner().invoke(app, [*command, "--model", str(minilm_folder)]).exit_code == 0

    np.testing.assert_allclose(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"), atol=1e-6)
