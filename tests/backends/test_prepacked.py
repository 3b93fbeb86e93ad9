"""The prepacked copy gives what the model gives, for any spec, and shares its parameters."""

import pytest
import torch
from hypothesis import given

from strategies import encoder_specs, packings, some
from vitrail.backends.prepacked import PrepackedLinear, prepack, works_here
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec


@some(25)
@given(spec=encoder_specs(), packing=packings(holes=False))
def test_any_spec_prepacked_gives_what_the_model_gives(spec: EncoderSpec, packing: Packing):
    model = EncoderModel(spec).eval()
    model.initialize(seed=1)
    ids = torch.randint(0, spec.vocab_size, (packing.num_tokens,))
    with torch.inference_mode():
        torch.testing.assert_close(prepack(model)(ids, packing), model(ids, packing), atol=1e-5, rtol=1e-4)


def test_parameters_are_shared_and_the_model_is_untouched():
    spec = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=12)
    model = EncoderModel(spec).eval()
    packed = prepack(model)
    assert packed.embeddings.tokens.weight is model.embeddings.tokens.weight
    assert not any(isinstance(module, PrepackedLinear) for module in model.modules())
    assert any(isinstance(module, PrepackedLinear) for module in packed.modules())


def test_a_machine_on_which_the_products_are_wrong_runs_the_model_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PrepackedLinear, "forward", lambda self, hidden: hidden[:, :3] * 0)
    works_here.cache_clear()
    try:
        assert not works_here()
    finally:
        monkeypatch.undo()
        works_here.cache_clear()
    assert works_here() == torch.backends.mkldnn.is_available()
