"""A trace as a whole: it proves itself, knows its gap to the backend, stays true to its weights, and costs little."""

import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import vitrail
from oracles.tiny import VOCAB_SIZE
from vitrail.backends.native import is_built
from vitrail.errors import TraceError
from vitrail.models import EncoderSpec, RotaryPositions
from vitrail.tracing import Reading, proof, prove

IDS = torch.randint(5, VOCAB_SIZE, (11,), generator=torch.Generator().manual_seed(0))


def tiny(**changes: Any) -> vitrail.Encoder:
    sizes = {"vocab_size": 37, "hidden_size": 12, "num_layers": 3, "num_heads": 3, "intermediate_size": 8}
    return vitrail.Encoder.from_spec(EncoderSpec.original(**sizes | changes), seed=0).eval()


def test_a_trace_proves_itself_on_first_use(monkeypatch: pytest.MonkeyPatch):
    encoder, proven = tiny(), []
    monkeypatch.setattr(proof, "_prove", lambda *given, prove=proof._prove: proven.append(prove(*given)))

    encoder.trace(IDS)
    encoder.trace(IDS)

    assert proven == [None]


class Otherwise(nn.Module):
    """What is there, and something else."""

    def __init__(self, inner: nn.Module, change: Callable[[Tensor], Tensor]):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, *given: Any) -> Tensor:
        return self.change(self.inner(*given))


def skewed_kernel(kernel: Any) -> Any:
    return lambda query, key, value, packing, **options: kernel(query * 1.01, key, value, packing, **options)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(
    ("exchange", "words"),
    [
        (
            lambda layer: setattr(layer, "attention_dropout", Otherwise(layer.attention_dropout, lambda x: 1.01 * x)),
            "sum of its",
        ),
        (lambda layer: setattr(layer, "feed_forward_dropout", nn.Identity()), None),
        (
            lambda layer: setattr(layer, "feed_forward", Otherwise(layer.feed_forward, torch.sin)),
            "layers.1.feed_forward.up",
        ),
        (lambda layer: setattr(layer.attention, "kernel", skewed_kernel(layer.attention.kernel)), "rebuilt weights"),
        (lambda layer: setattr(layer.attention.query, "forward", lambda x: torch.randn(x.shape)), "traced pass"),
        (lambda layer: setattr(layer.attention, "context", nn.Identity()), None),
    ],
    ids=["residual", "harmless", "feed-forward", "kernel", "random", "no tap"],
)
def test_a_model_whose_trace_would_not_be_true_is_refused_and_says_which_part(
    pre_norm: bool, exchange: Callable[[Any], None], words: str | None
):
    encoder = tiny()
    encoder = vitrail.Encoder.from_spec(replace(encoder.spec, pre_norm=pre_norm, initializer_range=0.4), seed=0).eval()
    encoder.trace(IDS)
    exchange(encoder.model.layers[1])
    proof._PROVEN.clear()

    if words is None:
        encoder.trace(IDS)
    else:
        with pytest.raises((TraceError, ValueError), match=words):
            encoder.trace(IDS)


def test_a_module_that_was_exchanged_is_noticed_without_being_told():
    encoder = tiny()
    encoder.trace(IDS)
    layer = encoder.model.layers[1]
    layer.attention_dropout = Otherwise(layer.attention_dropout, lambda x: 1.01 * x)

    with pytest.raises(TraceError, match=r"layers\.1\.output and the sum of its parts"):
        encoder.trace(IDS)


def test_the_first_trace_may_be_made_inside_an_edit():
    encoder = tiny()
    with encoder.edit(drop=[1], heads={(0, 0): 0}):
        assert torch.equal(encoder.trace(IDS)["layers.1.output"], encoder.trace(IDS)["layers.0.output"])


def test_proving_nothing_is_no_proof_and_no_error():
    prove(tiny(), Reading.of_ids([]))


@pytest.mark.skipif(not is_built(), reason="the native engine was not built")
@pytest.mark.parametrize(("precision", "cosine"), [("float32", 1 - 1e-6), ("int8", 0.99)])
def test_a_trace_says_how_far_the_backend_s_vector_is_from_the_one_it_shows(
    precision: str, cosine: float, minilm_folder: Path
):
    encoder = vitrail.load(minilm_folder, device="cpu", precision=precision)
    trace, vector = encoder.trace("how far is it?"), encoder.embed("how far is it?")

    gap = trace.backend_gap
    assert gap.backend == f"native engine, {precision}"
    assert gap.difference == pytest.approx(float(np.abs(vector - trace.pooled[0].numpy()).max()), rel=1e-3, abs=1e-7)
    assert (gap.difference > 1e-4) == (precision == "int8")
    assert cosine < gap.cosine < 1 + 1e-6
    assert f"{gap.difference:.2g} away" in repr(trace)
    assert trace.pooled.dtype == torch.float32


def test_a_trace_in_half_precision_shows_the_model_s_own_numbers(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, device="cpu", precision="bfloat16")
    trace = encoder.trace("in half precision")

    assert trace["layers.2.output"].dtype == torch.bfloat16
    assert trace.attention(0, 0).dtype == torch.float32
    torch.testing.assert_close(trace.attentions(3).sum(-1), torch.ones(12, len(trace)), atol=0.02, rtol=0)


def test_what_was_not_kept_is_refused_once_the_weights_have_changed_and_what_was_kept_is_there():
    encoder = tiny()
    light, kept = encoder.trace(IDS), encoder.trace(IDS, keep=["layers.1.output"])
    before = kept["layers.1.output"].clone()
    with torch.no_grad():
        encoder.model.layers[0].attention.query.weight.mul_(2)

    assert torch.equal(kept["layers.1.output"], before)
    for ask in (lambda: light["layers.1.output"], lambda: light.statistics, lambda: kept.attention(0, 0)):
        with pytest.raises(TraceError, match="weights of the encoder have changed"):
            ask()
    assert "weights have changed" in repr(light)


def test_a_trace_of_an_encoder_in_training_is_that_of_eval_mode_and_leaves_it_training():
    spec = replace(tiny().spec, dropout=replace(tiny().spec.dropout, embeddings=0.5))
    encoder = vitrail.Encoder.from_spec(spec, seed=0)
    found = encoder.trace(IDS)["layers.2.output"]

    assert encoder.training
    assert encoder.model.embeddings.dropout.training
    assert not found.requires_grad
    assert torch.equal(encoder.eval().trace(IDS)["layers.2.output"], found)


def test_a_value_of_a_trace_made_in_inference_mode_may_be_used_with_gradients():
    encoder = tiny()
    with torch.inference_mode():
        donor = encoder.trace(IDS, keep="full")
        light = encoder.trace(IDS)["layers.0.output"]

    with encoder.edit(replace={"layers.1.output": donor["layers.1.output"]}, add={"layers.0.output": light}):
        encoder(IDS[None]).sum().backward()
    assert encoder.model.layers[2].attention.query.weight.grad is not None


def test_one_input_gives_a_trace_and_several_a_list_in_their_order_whatever_their_lengths(minilm: vitrail.Encoder):
    texts = ["a much longer text than the others are", "short", "of middling length"]
    traces = minilm.trace(texts)

    assert isinstance(minilm.trace("short"), vitrail.Trace)
    assert [trace.reading.texts for trace in traces] == [(text,) for text in texts]
    assert minilm.trace([]) == []
    for trace, text in zip(traces, texts, strict=True):
        alone = minilm.trace(text, keep="full")
        torch.testing.assert_close(trace.pooled, alone.pooled, atol=1e-6, rtol=0)
        torch.testing.assert_close(trace["layers.5.output"], alone["layers.5.output"], atol=1e-5, rtol=0)
        together = minilm.trace([*texts, text], keep=["layers.3.attention.key"])[-1]
        torch.testing.assert_close(
            together["layers.3.attention.key"], alone["layers.3.attention.key"], atol=1e-5, rtol=0
        )


def test_a_text_without_tokens_has_a_trace_with_nothing_in_it():
    trace = tiny().trace(np.empty(0, dtype=np.int64))

    assert len(trace) == 0
    assert trace["layers.1.output"].shape == (0, 12)
    assert trace.attention(1, 1).shape == trace.thumbnail(1, 1).mean.shape == (0, 0)
    assert not trace.statistics.entropy.any()
    assert trace.backend_gap.difference == 0
    assert trace.backend_gap.cosine == 1


def test_a_name_for_what_to_keep_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"'light' or 'full', or give a list of points such as \['layers.0.output'\]"):
        tiny().trace(IDS, keep="layers.0.output")


class Memory(TorchDispatchMode):
    """The bytes of all tensors made inside that are alive, and the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.most, self.seen = 0, 0, set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.seen:
                    self.seen.add(key)
                    self.alive += size
                    self.most = max(self.most, self.alive)
                    weakref.finalize(storage, self._gone, key, size)
        return result

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.alive -= size


@pytest.mark.slow
def test_one_head_of_8192_tokens_takes_at_most_64_mib_more_than_a_forward():
    spec = EncoderSpec.original(vocab_size=37, hidden_size=384, num_layers=1, num_heads=12, intermediate_size=512)
    rotary = RotaryPositions(bases=(10000.0,), rotary_dim=32, scaling=1.0)
    encoder = vitrail.Encoder.from_spec(replace(spec, positions=(rotary,)), seed=0).eval()
    ids = torch.randint(0, 37, (8192,))
    trace = encoder.trace(ids)
    with torch.no_grad(), Memory() as forward:
        encoder(ids[None])
    gc.collect()

    with Memory() as memory:
        small, rows = trace.thumbnail(0, 7), trace.attention(0, 7, rows=slice(8000, 8192))

    assert small.mean.shape == (64, 64)
    assert float((small.mean * small.block).sum(1).mean()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(rows.sum(-1), torch.ones(192))
    assert memory.most <= forward.most + 64 * 2**20
    with pytest.raises(TraceError, match="256 MiB"):
        trace.attention(0, 7)


@pytest.mark.slow
@pytest.mark.parametrize(("texts", "words"), [(1, 23), (16, 23), (4, 248)])
def test_a_light_trace_of_texts_takes_at_most_1_3_times_as_long_as_a_forward_of_their_ids(
    texts: int, words: int, minilm: vitrail.Encoder, without_shape_checks: None
):
    given = [" ".join(["film"] * words)] * texts
    ids = torch.from_numpy(np.stack([trace.reading.ids for trace in minilm.trace(given)]))
    ratios = []
    with torch.no_grad():
        for _ in range(15):
            begun = time.perf_counter()
            minilm(ids)
            between = time.perf_counter()
            minilm.trace(given)
            ratios.append((time.perf_counter() - between) / (between - begun))

    assert ids.shape == (texts, words + 2)
    assert np.median(ratios) <= 1.3
