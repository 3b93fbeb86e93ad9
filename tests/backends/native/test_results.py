"""The engine gives what the model gives, for every spec it takes, on every instruction set of this machine."""

import copy
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.native.conftest import available
from backends.native.small_models import bert_spec, engine_specs, random_ids, random_model
from strategies import packings, some
from vitrail.backends.native import FLOAT16_NEEDS, NativeEngine
from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import (
    AlibiPositions,
    EncoderModel,
    EncoderSpec,
    PositionScheme,
    RelativeBiasPositions,
    RotaryPositions,
)

# By how much of itself a precision rounds what it multiplies.
STEP = {"int8": 2.0**-7, "float16": 2.0**-11}
# A norm over two or three values is nearly their signs, and any rounding turns a sign.
WIDE = engine_specs().filter(lambda spec: spec.hidden_size >= 16)
LENGTHS = st.sampled_from([0, 1, 2, 5, 6, 7, 15, 16, 17, 33, 70])


def in_float64(model: EncoderModel, ids: torch.Tensor, packing: Packing, types: torch.Tensor | None) -> torch.Tensor:
    """What the model gives with the reference kernel in float64."""
    exact = EncoderModel(model.spec).double().eval()
    exact.load_state_dict(model.state_dict())
    exact.use_kernel(reference)
    with torch.inference_mode():
        return exact(ids, packing, types)


def shaken(model: EncoderModel, step: float) -> EncoderModel:
    """The same with every weight moved at random by about `step` of itself. What that does to the results is what
    rounding may do to them: some drawn models divide by almost nothing.
    """
    near = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in near.parameters():
            parameter.mul_(1 + step * torch.randn(parameter.shape, generator=generator))
    return near


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-6))


def check(model: EncoderModel, precision: str, packing: Packing, *, threads: int, with_types: bool = False) -> None:
    spec = model.spec
    ids = random_ids(spec, packing)
    types = ids % 2 if with_types and spec.num_token_types == 2 else None

    found = NativeEngine(model, precision, threads).run(ids, packing, types)

    assert found.shape == (packing.num_tokens, spec.hidden_size)
    if not packing.num_tokens:
        return
    wanted = in_float64(model, ids, packing, types)
    if precision == "float32":
        torch.testing.assert_close(found.double(), wanted, atol=1e-5 * max(1.0, float(wanted.abs().max())), rtol=1e-5)
    else:
        step = STEP[precision]
        moved = in_float64(shaken(model, step), ids, packing, types)
        assert relative_error(found.double(), wanted) < 5 * max(relative_error(moved, wanted), 4 * step)


@some(40)
@given(
    spec=engine_specs(), packing=packings(lengths=LENGTHS), threads=st.sampled_from([1, 2, 3]), with_types=st.booleans()
)
def test_any_spec_in_float32(isa: str, spec: EncoderSpec, packing: Packing, threads: int, with_types: bool):
    check(random_model(spec), "float32", packing, threads=threads, with_types=with_types)


@some(40)
@given(spec=WIDE, packing=packings(lengths=LENGTHS), threads=st.sampled_from([1, 2, 3]), with_types=st.booleans())
def test_any_spec_in_int8(isa: str, spec: EncoderSpec, packing: Packing, threads: int, with_types: bool):
    check(random_model(spec), "int8", packing, threads=threads, with_types=with_types)


@pytest.mark.skipif(FLOAT16_NEEDS not in available(), reason=f"needs a processor with {FLOAT16_NEEDS}")
@some(40)
@given(spec=WIDE, packing=packings(lengths=LENGTHS), threads=st.sampled_from([1, 2, 3]), with_types=st.booleans())
def test_any_spec_in_float16(spec: EncoderSpec, packing: Packing, threads: int, with_types: bool):
    check(random_model(spec), "float16", packing, threads=threads, with_types=with_types)


@pytest.mark.parametrize(
    "lengths",
    [(1,), (511,), (512,), (513,), (513, 1, 512), (1,) * 2000, (0,), (0, 3, 0), ()],
    ids=["1", "511", "512", "513", "513 1 512", "2000 of 1", "0", "0 3 0", "none"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_sequences_of_any_length_and_number(isa: str, precision: str, lengths: tuple[int, ...], threads: int):
    check(random_model(bert_spec()), precision, Packing.of(lengths), threads=threads)


@some(12)
@given(
    length=st.integers(1, 600),
    window=st.sampled_from([0, 1, 7, 64, 128]),
    causal=st.booleans(),
    holes=st.booleans(),
    relation=st.sampled_from([None, AlibiPositions(), RelativeBiasPositions(num_buckets=32, max_distance=128)]),
)
def test_windows_over_texts_of_any_length(
    isa: str, length: int, window: int, causal: bool, holes: bool, relation: PositionScheme | None
):
    rotary = RotaryPositions(bases=(100.0, 10000.0), rotary_dim=6, scaling=1.5)
    positions = (rotary,) if relation is None else (rotary, relation)
    spec = replace(bert_spec(), windows=(window, None), causal=causal, positions=positions)
    packing = Packing((length,), 3 + 2 * torch.arange(length), plain=False) if holes else Packing.of([length])
    check(random_model(spec), "float32", packing, threads=2)


@pytest.mark.parametrize("signs", ["all", "runs of four"])
def test_weights_of_one_sign_overflow_nothing(isa: str, signs: str):
    """The largest sums that int8 products can come to, where they are added in 16 bits."""
    model = random_model(bert_spec())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("layers") and weight.ndim == 2:
                sign = 1 - 2 * (torch.arange(weight.shape[1]) // 4 % 2) if signs == "runs of four" else 1
                weight.copy_(weight.abs() * sign)
    check(model, "int8", Packing.of([50, 7, 33]), threads=1)


def test_a_sequence_is_not_affected_by_its_neighbours_or_the_threads(isa: str, precision: str):
    model = random_model(bert_spec())
    packing = Packing.of([40, 3, 0, 200, 1, 17, 90, 300])
    ids = random_ids(model.spec, packing)
    together = NativeEngine(model, precision, 2).run(ids, packing)

    one_thread = NativeEngine(model, precision, 1)
    for part, hidden in zip(packing.split(ids), packing.split(together), strict=True):
        assert torch.equal(one_thread.run(part, Packing.of([len(part)])), hidden)


def test_two_threads_may_call_at_once(isa: str, precision: str):
    model = random_model(bert_spec())
    engine = NativeEngine(model, precision, 2)
    packings_ = [Packing.of([30, 50]), Packing.of([7] * 60)]
    alone = [engine.run(random_ids(model.spec, packing), packing) for packing in packings_]
    wrong = []

    def call(packing: Packing, wanted: torch.Tensor) -> None:
        found = [engine.run(random_ids(model.spec, packing), packing) for _ in range(20)]
        wrong.extend(packing for hidden in found if not torch.equal(hidden, wanted))

    threads = [threading.Thread(target=call, args=pair) for pair in zip(packings_, alone, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layers.0.attention.value.weight", "layers.1.feed_forward.up.weight"])
def test_a_number_that_is_not_finite_is_never_lost(isa: str, precision: str, bad: float, name: str):
    model = random_model(bert_spec())
    with torch.no_grad():
        model.get_parameter(name)[3, 5] = bad
    packing = Packing.of([9, 4])

    hidden = NativeEngine(model, precision, 1).run(random_ids(model.spec, packing), packing)

    assert not hidden.isfinite().all(dim=-1).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_stays_in_its_sequence(isa: str, precision: str, bad: float):
    model = random_model(bert_spec())
    packing = Packing.of([33, 40, 31, 1, 17])
    ids = random_ids(model.spec, packing) % 30
    wanted = packing.split(NativeEngine(model, precision, 1).run(ids, packing))
    with torch.no_grad():
        model.get_parameter("embeddings.tokens.weight")[30] = bad
    ids[33 + 20] = 30

    found = packing.split(NativeEngine(model, precision, 1).run(ids, packing))

    assert found[1].isnan().any(dim=-1).all()
    for place in (0, 2, 3, 4):
        assert torch.equal(found[place], wanted[place])
