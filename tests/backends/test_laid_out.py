"""The copy laid out for a GPU gives what the model gives; the layout is the same on a CPU."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from torch import nn

from strategies import encoder_specs, packings, some
from vitrail.api import Encoder
from vitrail.backends import inference as room
from vitrail.backends.activated import ActivatedFeedForward, activates_faster
from vitrail.backends.inference import LAID_OUT, TORCH, Inference, evaluating
from vitrail.backends.laid_out import (
    OneProductAttention,
    can_lay_out,
    free_memory,
    lay_out,
    tokens_per_step,
)
from vitrail.layers.feed_forward import FeedForward
from vitrail.layers.kernels import reference, triton
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec
from vitrail.models.positions import RotaryPositions

ORIGINAL = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=12)
IDS, PACKING = torch.tensor([1, 2, 3, 4]), Packing.of([1, 3])


def model_of(spec: EncoderSpec = ORIGINAL) -> EncoderModel:
    model = EncoderModel(spec).eval()
    model.initialize(seed=1)
    for parameter in model.parameters():  # biases too, which begin as zeros
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as being on a GPU."""
    monkeypatch.setattr(room, "can_lay_out", lambda model: True)


@some(25)
@given(spec=encoder_specs(), packing=packings())
def test_any_spec_laid_out_gives_what_the_model_gives(spec: EncoderSpec, packing: Packing):
    model = model_of(spec)
    ids = torch.randint(0, spec.vocab_size, (packing.num_tokens,))
    with torch.inference_mode():
        torch.testing.assert_close(lay_out(model)(ids, packing), model(ids, packing), atol=1e-5, rtol=1e-4)


@some(8)
@given(spec=encoder_specs(), packing=packings())
def test_with_the_activation_inside_the_product_too(spec: EncoderSpec, packing: Packing):
    """On a CPU the kernel runs in Triton's interpreter, there in float32."""
    model = model_of(spec)
    ids = torch.randint(0, spec.vocab_size, (packing.num_tokens,))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr("vitrail.backends.laid_out.activates_faster", lambda *_: True)
        laid_out = lay_out(model)
        assert isinstance(laid_out.layers[0].feed_forward, ActivatedFeedForward)
        torch.testing.assert_close(laid_out(ids, packing), model(ids, packing), atol=1e-5, rtol=1e-4)


def test_the_faster_way_is_taken_and_never_the_less_exact_one(monkeypatch: pytest.MonkeyPatch):
    feed_forward = model_of().layers[0].feed_forward
    times = {FeedForward: 2.0, ActivatedFeedForward: 1.0}
    monkeypatch.setattr("vitrail.backends.activated._milliseconds", lambda run, hidden: times[type(run)])
    monkeypatch.setattr(triton, "runs", lambda tensor: True)

    assert not activates_faster(feed_forward, "gelu")  # in float32
    assert activates_faster(feed_forward.half(), "gelu")
    times[ActivatedFeedForward] = 3.0
    assert not activates_faster(feed_forward.half(), "gelu")


def test_one_product_reads_the_hidden_states_and_the_kernel_gets_views_of_what_it_gives():
    model = model_of()
    seen = []

    def spy(query, key, value, packing, **options):
        seen.append((query, key, value))
        return reference(query, key, value, packing, **options)

    model.use_kernel(spy)
    with torch.inference_mode():
        lay_out(model)(IDS, PACKING)

    for query, key, value in seen:
        assert query.untyped_storage().data_ptr() == key.untyped_storage().data_ptr()
        assert [each.storage_offset() for each in (query, key, value)] == [0, 8, 16]
        assert {each.stride() for each in (query, key, value)} == {(24, 4, 1)}
    assert len(seen) == 2


def test_the_copy_shares_parameters_and_the_model_is_untouched():
    model = model_of()
    laid_out = lay_out(model)

    assert laid_out.layers[0].attention.query.weight is model.layers[0].attention.query.weight
    assert all(isinstance(layer.attention, OneProductAttention) for layer in laid_out.layers)
    assert not any(isinstance(layer.attention, OneProductAttention) for layer in model.layers)
    assert model.kernel_name == "fused"


def test_layers_that_share_their_weights_are_still_one_module():
    laid_out = lay_out(model_of(replace(ORIGINAL, shared_layers=(0, 0), windows=(None, None))))

    assert laid_out.layers[0] is laid_out.layers[1]


def test_a_kernel_that_was_set_is_kept():
    model = model_of()
    model.use_kernel(reference)

    assert lay_out(model).layers[0].attention.kernel is reference


def test_autocast_gives_the_kernel_half_types_where_positions_turn_them_too():
    seen = []

    def spy(query, key, value, packing, **options):
        seen.append((query.dtype, key.dtype, value.dtype, options["dropout"]))
        return reference(query, key, value, packing, **options)

    rotary = RotaryPositions(bases=(100.0, 100.0), rotary_dim=4, scaling=1.0)
    weights = replace(ORIGINAL.dropout, attention_weights=0.25)
    model = model_of(replace(ORIGINAL, positions=(rotary,), dropout=weights)).train()
    model.use_kernel(spy)
    with torch.autocast("cpu", torch.bfloat16):
        model(IDS, PACKING).sum().backward()

    assert seen == [(torch.bfloat16,) * 3 + (0.25,)] * 2
    assert model.layers[0].attention.query.weight.grad is not None


def test_an_adapter_in_the_place_of_a_linear_module_keeps_its_layer_as_it_is():
    model = model_of()
    model.layers[1].attention.key = nn.Sequential(model.layers[1].attention.key, nn.Tanh())
    laid_out = lay_out(model)

    assert not isinstance(laid_out.layers[1].attention, OneProductAttention)
    with torch.inference_mode():
        torch.testing.assert_close(laid_out(IDS, PACKING), model(IDS, PACKING))


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_model_on_a_gpu_runs_laid_out_and_changes_of_it_are_noticed():
    model = model_of()
    inference = Inference(model)

    def run() -> torch.Tensor:
        with evaluating(model):
            return inference.run(IDS, PACKING)

    assert inference.path.name == LAID_OUT
    with torch.no_grad():
        torch.testing.assert_close(run(), model(IDS, PACKING), atol=1e-5, rtol=1e-5)
        model.layers[0].attention.query.weight.mul_(2)
        torch.testing.assert_close(run(), model(IDS, PACKING), atol=1e-5, rtol=1e-5)
    handle = model.layers[1].register_forward_hook(lambda module, inputs, output: output * 2)
    assert inference.path.name == TORCH
    handle.remove()
    assert inference.path.name == LAID_OUT


def test_a_model_on_the_cpu_is_not_laid_out_for_a_gpu():
    assert not can_lay_out(model_of())
    assert Inference(model_of()).path.name != LAID_OUT


BERT_BASE = EncoderSpec.original(vocab_size=11, hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072)


@pytest.mark.parametrize("free", [2**24, 2**28, 2**29 + 12345, 2**30, 2**36])
def test_a_step_takes_at_most_half_of_the_free_memory_and_half_as_much_would_waste_it(free: int):
    tokens = tokens_per_step(BERT_BASE, free_bytes=free, bytes_each=2)

    # the stream three times, and the widest: 2 × 3072 around the activation
    needed = tokens * 2 * (3 * 768 + 2 * 3072)
    assert needed <= free / 2 or tokens == 1024
    assert 4 * needed > free or tokens == 65536
    assert tokens & (tokens - 1) == 0


def test_a_little_less_free_memory_does_not_cut_the_batches_otherwise():
    assert tokens_per_step(BERT_BASE, free_bytes=70 * 2**30, bytes_each=2) == tokens_per_step(
        BERT_BASE, free_bytes=60 * 2**30, bytes_each=4
    )


@pytest.mark.usefixtures("as_on_a_gpu")
def test_runtime_says_the_path_the_kernel_and_the_tokens_of_a_step():
    encoder = Encoder.from_spec(ORIGINAL)
    wanted = {"backend": f"{LAID_OUT}, up to 2,048 tokens a step", "kernel": "fused"}
    assert encoder.runtime.items() >= wanted.items()

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert "TF32" in encoder.runtime["backend"]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_free_memory_counts_what_torch_keeps_but_does_not_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)

    assert free_memory(torch.device("cuda:0")) == 150
