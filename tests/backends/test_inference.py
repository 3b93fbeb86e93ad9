"""Which path a batch takes, and that the choice follows the model as it is now."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vitrail.backends import inference as room
from vitrail.backends.inference import NATIVE, PREPACKED, TORCH, Inference, evaluating
from vitrail.backends.survey import Surveyor
from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec
from vitrail.models.positions import DisentangledPositions, LearnedPositions

ORIGINAL = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=12)
IDS, PACKING = torch.tensor([1, 2, 3, 4]), Packing.of([1, 3])


def bert_shaped() -> EncoderModel:
    spec = replace(
        ORIGINAL,
        positions=(LearnedPositions(max_positions=9, padding_id=None),),
        activation="gelu",
        embedding_scale=1.0,
    )
    model = EncoderModel(spec).eval()
    model.initialize(seed=3)
    return model


def run(inference: Inference) -> torch.Tensor:
    with evaluating(inference.model):
        return inference.run(IDS, PACKING)


def test_a_shape_the_engine_has_runs_there_and_others_do_not():
    distances = DisentangledPositions(
        num_buckets=None,
        max_distance=5,
        content_to_position=True,
        position_to_content=True,
        shared_projections=True,
        normalized=False,
    )
    deberta_shaped = EncoderModel(replace(ORIGINAL, positions=(distances,))).eval()

    assert Inference(bert_shaped()).path.name == NATIVE
    assert Inference(EncoderModel(ORIGINAL).eval()).path.name == NATIVE
    assert Inference(deberta_shaped).path.name == PREPACKED
    assert "positions that meet content" in (Inference(deberta_shaped).native_refusal() or "")


def test_all_paths_give_what_the_model_gives(monkeypatch: pytest.MonkeyPatch):
    model = bert_shaped()
    with torch.no_grad():
        wanted = model(IDS, PACKING)

    native = Inference(model)
    assert native.path.name == NATIVE
    torch.testing.assert_close(run(native), wanted, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(room, "is_built", lambda: False)
    prepacked = Inference(model)
    assert prepacked.path.name == PREPACKED
    torch.testing.assert_close(run(prepacked), wanted, atol=1e-5, rtol=1e-5)
    assert "C++ compiler" in (prepacked.native_refusal() or "")


def test_an_instruction_set_that_is_not_there_is_a_reason_and_not_a_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRAIL_ISA", "avx1024")

    inference = Inference(bert_shaped())

    assert inference.path.name == PREPACKED
    assert "avx1024" in (inference.native_refusal() or "")


def test_a_listener_a_changed_weight_and_an_exchanged_module_are_noticed():
    model = bert_shaped()
    inference = Inference(model)
    before = run(inference)

    handle = model.layers[1].register_forward_hook(lambda module, inputs, output: output * 2)
    assert inference.path.name == TORCH
    torch.testing.assert_close(run(inference), before * 2, atol=1e-5, rtol=1e-5)
    handle.remove()
    with torch.no_grad():
        model.layers[1].feed_forward_norm.weight.mul_(3)
    torch.testing.assert_close(run(inference), before * 3, atol=1e-4, rtol=1e-4)
    model.layers[1].feed_forward_norm = nn.LayerNorm(8)
    with torch.no_grad():
        torch.testing.assert_close(run(inference), model(IDS, PACKING), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(run(inference), before * 3, atol=1e-3)


def test_a_model_that_is_not_what_its_spec_says_runs_itself():
    class Louder(nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(hidden)

    for alter in (
        lambda model: setattr(model.layers[0].attention, "value", Louder(8, 8)),
        lambda model: (
            setattr(model.layers[0].feed_forward, "up", nn.Linear(8, 5))
            or setattr(model.layers[0].feed_forward, "down", nn.Linear(5, 8))
        ),
        lambda model: setattr(model.layers[1], "forward", lambda hidden, packing, relation=None: hidden),
        lambda model: model.layers.append(model.layers[0]),
    ):
        inference = Inference(bert_shaped())
        assert inference.path.name == NATIVE
        alter(inference.model)
        inference = Inference(inference.model)
        assert inference.path.name == TORCH
        with torch.no_grad():
            assert torch.equal(run(inference), inference.model(IDS, PACKING))
        assert "not what the model's spec describes" in (inference.native_refusal() or "")


def test_another_kernel_is_used_when_it_is_set():
    inference = Inference(bert_shaped())
    assert inference.path.name == NATIVE

    inference.model.use_kernel(reference)

    assert inference.path.name == PREPACKED
    assert "another kernel (reference)" in (inference.native_refusal() or "")


def test_a_replaced_parameter_is_noticed():
    model = bert_shaped()
    surveyor = Surveyor(model)
    first = surveyor.look()

    assert surveyor.look() == first
    model.layers[0].attention.query.weight = nn.Parameter(model.layers[0].attention.query.weight.clone())
    assert surveyor.look() != first


def test_other_types_run_the_model_itself():
    inference = Inference(EncoderModel(ORIGINAL).eval().double())

    assert inference.path.name == TORCH
    with torch.no_grad():
        assert torch.equal(run(inference), inference.model(IDS, PACKING))
