"""Promises that hold for every encoder a spec can describe, over small specs of every kind."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from strategies import LONGEST, encoder_specs, packings, some
from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import DropoutSpec, EncoderModel, EncoderSpec

LENGTHS = (3, 0, 3, 1, 5)
SEQUENCES = packings(lengths=st.integers(0, LONGEST // 2 - 1))


def built(spec: EncoderSpec, dtype: torch.dtype = torch.float64) -> EncoderModel:
    model = EncoderModel(spec).to(dtype)
    model.initialize(seed=0)
    return model


def ids_and_types(spec: EncoderSpec, packing: Packing) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, spec.vocab_size, (packing.num_tokens,), generator=generator)
    kinds = spec.num_token_types
    return ids, torch.randint(0, kinds, ids.shape, generator=generator) if kinds else None


def alone(packing: Packing, sequence: int) -> Packing:
    columns = packing.split(packing.columns)[sequence]
    return Packing((packing.lengths[sequence],), columns, plain=packing.plain)


@some(40)
@given(encoder_specs(), st.sampled_from([torch.float32, torch.float64]))
def test_it_runs_forwards_and_backwards_in_training_with_finite_numbers(spec: EncoderSpec, dtype: torch.dtype):
    model, packing = built(spec, dtype).train(), Packing.of(LENGTHS)

    hidden = model(*with_packing(spec, packing))
    hidden.square().sum().backward()

    assert hidden.shape == (sum(LENGTHS), spec.hidden_size)
    assert hidden.dtype == dtype
    assert hidden.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def with_packing(spec: EncoderSpec, packing: Packing) -> tuple[Tensor, Packing, Tensor | None]:
    ids, types = ids_and_types(spec, packing)
    return ids, packing, types


@some(40)
@given(encoder_specs(), SEQUENCES)
@torch.no_grad()
def test_the_fused_kernel_agrees_with_the_reference(spec: EncoderSpec, packing: Packing):
    model, inputs = built(spec).eval(), with_packing(spec, packing)

    fused_hidden = model(*inputs)
    model.use_kernel(reference)

    torch.testing.assert_close(fused_hidden, model(*inputs), rtol=1e-6, atol=1e-7)


@some(40)
@given(encoder_specs(), SEQUENCES, st.booleans())
@torch.no_grad()
def test_a_sequence_is_not_affected_by_its_neighbours_nor_by_their_order(
    spec: EncoderSpec, packing: Packing, training: bool
):
    model = built(replace(spec, dropout=DropoutSpec.none())).train(training)
    ids, types = ids_and_types(spec, packing)
    together = packing.split(model(ids, packing, types))

    kinds = [None] * packing.num_sequences if types is None else packing.split(types)
    for sequence, (own_ids, own_types) in enumerate(zip(packing.split(ids), kinds, strict=True)):
        found = model(own_ids, alone(packing, sequence), own_types)
        torch.testing.assert_close(together[sequence], found, rtol=1e-6, atol=1e-7)

    order = list(reversed(range(packing.num_sequences)))
    turned = Packing(
        tuple(packing.lengths[i] for i in order),
        torch.cat([packing.columns[:0], *(packing.split(packing.columns)[i] for i in order)]),
        plain=packing.plain,
    )
    stream = torch.cat([torch.arange(0), *(packing.split(torch.arange(packing.num_tokens))[i] for i in order)])
    hidden = model(ids[stream], turned, None if types is None else types[stream])
    for place, sequence in enumerate(order):
        torch.testing.assert_close(turned.split(hidden)[place], together[sequence], rtol=1e-6, atol=1e-7)


@some(40)
@given(encoder_specs())
def test_a_model_without_storage_has_the_same_parameters_by_name_shape_and_type(spec: EncoderSpec):
    real, empty = EncoderModel(spec).state_dict(), EncoderModel.without_storage(spec).state_dict()

    assert all(tensor.is_meta for tensor in empty.values())
    assert {name: (t.shape, t.dtype) for name, t in empty.items()} == {n: (t.shape, t.dtype) for n, t in real.items()}


@some(40)
@given(encoder_specs())
@torch.no_grad()
def test_a_fresh_model_is_the_same_for_the_same_seed_with_biases_0_norms_1_and_padding_0(spec: EncoderSpec):
    model, again, other = built(spec), EncoderModel(spec).double(), EncoderModel(spec).double()
    again.initialize(seed=0)
    other.initialize(seed=1)

    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert parameter.eq(1).all(), name
        else:
            assert not torch.equal(parameter, other.get_parameter(name)), name
    if spec.padding_id is not None:
        assert not model.embeddings.tokens.weight[spec.padding_id].any()
