"""`python -m benchmarks gpu`: its arithmetic by hand, its plumbing on the CPU in a toy size."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.gpu import measure, ours, rivals, section, shapes, timing
from benchmarks.gpu.measure import TOY, cosines, main, rates
from transformers import BertConfig, BertModel

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "toy"
    corpus = ["a text of words", "other words in a longer text that is read", "the last of the texts"] * 5
    shapes.make_folder(shapes.TOY["toy"], folder, vocab_size=60, corpus=corpus)
    return folder


def test_operations_are_those_that_torch_counts(folder: Path):
    from torch.utils.flop_counter import FlopCounterMode

    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    model = BertModel._from_config(config, attn_implementation="eager", add_pooling_layer=False).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(input_ids=torch.ones(1, 7, dtype=torch.long))

    spec = ours.load(folder, CPU, "float32").spec
    assert shapes.operations(spec, np.array([7])) == counter.get_total_flops()
    assert shapes.operations(spec, np.array([7, 7, 7])) == 3 * counter.get_total_flops()


def test_rates_by_hand():
    found = rates([9.0, 2.0, 1.0], np.array([3, 5]), 600, peak=1000.0)

    assert found["tokens_per_second"] == 4
    assert found["sequences_per_second"] == 1
    assert found["share_of_peak"] == 0.3
    turned = cosines(np.array([[1.0, 1.0], [0.0, 3.0]]), np.array([[2.0, 0.0], [0.0, 1.0]]))
    assert turned["cosine_min"] == pytest.approx(0.5**0.5)
    assert turned["cosine_mean"] == pytest.approx((1 + 0.5**0.5) / 2)


def test_lengths_are_skewed_and_the_same_in_every_run():
    lengths = shapes.skewed_lengths(4000)

    assert np.array_equal(lengths, shapes.skewed_lengths(4000))
    assert (lengths.min(), lengths.max()) == (4, 512)
    assert 40 < np.median(lengths) < 50 < 60 < lengths.mean()


def test_padded_batches_hold_every_token_once_under_the_mask():
    lengths, ids = np.array([2, 4, 1]), np.array([11, 12, 21, 22, 23, 24, 31])

    first, second = rivals.padded_batches(ids, lengths, CPU, batch_size=2, order=np.array([1, 0, 2]))

    assert first["input_ids"].tolist() == [[21, 22, 23, 24], [11, 12, 0, 0]]
    assert first["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert second["input_ids"].tolist() == [[31]]


def test_the_rival_computes_the_same_vectors_from_the_same_folder(folder: Path):
    texts = ["words", "a longer text that is read", "the last words"]

    mine = ours.embed(ours.load(folder, CPU, "float32"), texts)()
    theirs = rivals.embed(folder, CPU, texts, precision="float32", batch_size=2)()

    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_the_peak_counts_two_operations_for_a_multiply_add(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", lambda call, device, rounds, warm_up: [call() is None, 0.5, 0.5])

    assert timing.matrix_peak(CPU, size=10, rounds=3) == 2 * 10**3 / 0.5


def result(contestant: str, tokens: float, **named: object) -> dict[str, object]:
    described = {"run": "2026-01-02T03", "measurement": "texts", "shape": "minilm", "label": "MiniLM-L6"}
    counted = {"sequences": 10, "tokens": 100, "sequences_per_second": tokens / 10, "share_of_peak": 0.25}
    return {**described, **counted, "contestant": contestant, "tokens_per_second": tokens, **named}


RESULTS = [
    result("vitrail", 8000.0, precision="bfloat16", kernel="k", tokenizer="t", share_of_forward=0.5),
    result("sentence-transformers", 200.0, precision="float32", batch_size=32),
    result("sentence-transformers", 400.0, precision="bfloat16", batch_size=256),
    {**result("sentence-transformers", 1.0, precision="bfloat16", batch_size=512), "failed": "out of memory"},
]
PEAK = {
    "run": "2026-01-02T03",
    "measurement": "peak",
    "operations_per_second": 7e14,
    "size": 8192,
    "machine": {"device": "a GPU", "python": "3", "torch": "2", "transformers": "5"},
}


def test_the_section_says_how_many_times_as_fast_and_what_failed(tmp_path: Path):
    older = {**PEAK, "run": "2025", "operations_per_second": 1.0}
    lines = tmp_path / "gpu.jsonl"
    lines.write_text("".join(json.dumps(each) + "\n" for each in [older, PEAK, *RESULTS]))

    found = section.text(section.last_results(lines))

    assert "700 TFLOP/s" in found
    assert "- 20.0 × sentence-transformers, bfloat16, batch 256, its best" in found
    assert "- 40.0 × sentence-transformers, float32, batch 32, its default" in found
    assert "| vitrail, bfloat16 | 8,000 | 800 | 25.0% | 50% |" in found
    assert "batch 512 | out of memory |" in found
    assert "Not measured" not in found


def test_without_results_the_section_claims_nothing(tmp_path: Path):
    found = section.text(section.last_results(tmp_path / "none.jsonl"))

    assert "Not measured" in found
    assert "TFLOP" not in found


def test_figures_of_a_cpu_are_refused_but_for_the_toy(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--device", "cpu"])
    assert "only --toy" in capsys.readouterr().err


IN_A_PLAIN_IMAGE = """
import sys
from importlib.machinery import PathFinder

plain = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == "jaxtyping" else plain(name, *rest))
from benchmarks.gpu import measure, plain_image
plain_image.make_importable()
import jaxtyping
assert getattr(jaxtyping, "__file__", None) is None
from vitrail import Encoder, EncoderSpec
import torch
spec = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=12)
print(tuple(Encoder.from_spec(spec)(torch.ones(1, 3, dtype=torch.long)).shape))
"""


def test_without_jaxtyping_everything_runs_all_the_same():
    done = subprocess.run([sys.executable, "-c", IN_A_PLAIN_IMAGE], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "(1, 3, 8)", done.stderr


@pytest.mark.slow
def test_a_toy_run_measures_everything_and_keeps_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(section, "RESULTS", tmp_path / "gpu.jsonl")
    main(["--device", "cpu", "--toy"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert not section.RESULTS.exists()
    assert {line["measurement"] for line in lines} == {"peak", *measure.MEASUREMENTS}
    for name, rival in (("forward", "transformers"), ("texts", "sentence-transformers"), ("training", "transformers")):
        of = [line for line in lines if line["measurement"] == name]
        assert {line["contestant"] for line in of} == {"vitrail", rival}
        assert len({line["tokens"] for line in of}) == 1
        assert all(len(line["seconds"]) == TOY.rounds for line in of)
    worst = [line["cosine_min"] for line in lines if line["measurement"] == "cosine"]
    assert len(worst) == 2
    assert min(worst) > 0.99
    last: section.Last = {}
    for line in lines:
        last.setdefault((line["measurement"], line.get("shape", "")), []).append(line)
    assert "### toy, texts to vectors" in section.text(last)
