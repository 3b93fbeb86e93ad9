"""Models of any spec with the GPU's kernels in place, against the same models without: values and gradients."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from strategies import encoder_specs, numbers, packings, some
from vitrail.layers.encoder_layer import EncoderLayer
from vitrail.layers.kernels import reference, triton
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def model_of(spec: EncoderSpec) -> EncoderModel:
    model = EncoderModel.without_storage(spec).to_empty(device="cpu")
    model.initialize(0)
    return model.eval()


def forwards_and_backwards(model: EncoderModel, ids: torch.Tensor, packing: Packing) -> list[torch.Tensor]:
    """Hidden states, then the gradient of every parameter."""
    hidden = model(ids, packing)
    parameters = [each for each in model.parameters() if each.requires_grad]
    loss = (hidden * numbers(*hidden.shape, seed=3).to(hidden)).sum()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    found = [torch.zeros_like(each) if of is None else of for each, of in zip(parameters, gradients, strict=True)]
    return [each.double().cpu() for each in (hidden, *found)]


@some(15)
@given(spec=encoder_specs(), packing=packings())
def test_any_model_computes_the_same_with_the_kernels_of_a_gpu(spec: EncoderSpec, packing: Packing):
    exact = model_of(spec).double()
    exact.use_kernel(reference)
    model = copy.deepcopy(exact).float().to(DEVICE)
    model.use_kernel(model_of(spec).layers[0].attention.kernel)
    ids = torch.arange(packing.num_tokens) % spec.vocab_size
    there = Packing(packing.lengths, packing.columns.to(DEVICE), packing.ordinals, packing.plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton, "runs", lambda tensor: tensor.dtype in triton.TYPES)
        found = forwards_and_backwards(model, ids.to(DEVICE), there)

    for one, other in zip(found, forwards_and_backwards(exact, ids, packing), strict=True):
        largest = other.abs().max().item() if other.numel() else 0.0
        torch.testing.assert_close(one, other, atol=2e-4 * max(largest, 1.0), rtol=1e-4)


def test_where_somebody_listens_the_modules_run_themselves(monkeypatch: pytest.MonkeyPatch):
    """What a hook on a norm or on a gate's function changes must change the result."""
    monkeypatch.setattr(triton, "runs", lambda tensor: tensor.dtype in triton.TYPES)
    for pre_norm in (False, True):
        spec = EncoderSpec.original(vocab_size=11, hidden_size=8, num_heads=2, num_layers=1, intermediate_size=12)
        model = model_of(replace(spec, pre_norm=pre_norm, gated=True)).to(DEVICE)
        layer = model.layers[0]
        assert isinstance(layer, EncoderLayer)
        ids, packing = torch.arange(5, device=DEVICE), Packing.of([2, 3], device=DEVICE)
        plain = model(ids, packing)
        for name in ("feed_forward_norm", "attention_norm", "feed_forward.activation.function"):
            handle = layer.get_submodule(name).register_forward_hook(lambda *seen: 0 * seen[-1])
            assert not torch.allclose(model(ids, packing), plain), name
            handle.remove()
        torch.testing.assert_close(model(ids, packing), plain)
