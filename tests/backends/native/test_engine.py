"""What the engine refuses, and what happens to it in pickles and forks."""

import ctypes
import os
import pickle
from dataclasses import replace

import pytest
import torch

from backends.native.small_models import bert_spec, random_ids, random_model
from vitrail.backends.native import NativeEngine, instruction_set, unsupported
from vitrail.backends.native.engine import _layers, _sizes
from vitrail.backends.native.library import Role, last_error, library
from vitrail.errors import BackendError
from vitrail.layers.packing import Packing
from vitrail.models import DisentangledPositions, EncoderSpec, RotaryPositions

_DISENTANGLED = DisentangledPositions(
    num_buckets=4,
    max_distance=8,
    content_to_position=True,
    position_to_content=True,
    shared_projections=True,
    normalized=False,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"positions": (_DISENTANGLED,)}, "meet content"),
        ({"head_dim": 257}, "wider than 256"),
    ],
)
def test_a_spec_it_cannot_run_exactly_is_refused_by_name(change: dict[str, object], reason: str):
    spec: EncoderSpec = replace(bert_spec(), **change)

    assert reason in (unsupported(spec) or "")
    with pytest.raises(BackendError, match=reason):
        NativeEngine(random_model(spec))


def test_the_shapes_of_bert_and_roberta_are_taken():
    assert unsupported(bert_spec()) is None
    assert unsupported(bert_spec(padding_id=1)) is None


def test_an_instruction_set_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRAIL_ISA", "mmx")
    with pytest.raises(
        BackendError, match="VITRAIL_ISA is mmx: choose among avx512fp16, avx512bf16, avx512vnni, avxvnni, avx2"
    ):
        instruction_set()
    with pytest.raises(BackendError, match="mmx"):
        NativeEngine(random_model(bert_spec()))


@pytest.mark.parametrize("bad", [-1, 31, 2**63 - 1])
def test_an_id_outside_the_vocabulary_is_refused_and_the_engine_goes_on(bad: int):
    model = random_model(bert_spec())
    engine = NativeEngine(model, threads=1)
    with pytest.raises(BackendError, match=f"id of token 1 is {bad}, the table has 31"):
        engine.run(torch.tensor([3, bad, 4]), Packing.of([3]))

    assert engine.run(torch.tensor([3, 4]), Packing.of([2])).isfinite().all()


def test_columns_that_do_not_grow_are_refused():
    rotary = RotaryPositions(bases=(100.0, 100.0), rotary_dim=4, scaling=1.0)
    engine = NativeEngine(random_model(replace(bert_spec(), positions=(rotary,))), threads=1)
    packing = Packing((3,), torch.tensor([4, 6, 6]), plain=False)
    with pytest.raises(BackendError, match="columns of sequence 0 do not grow"):
        engine.run(torch.tensor([1, 2, 3]), packing)


def test_a_text_longer_than_the_positions_is_refused():
    engine = NativeEngine(random_model(bert_spec(max_positions=10)), threads=1)
    packing = Packing.of([11])
    with pytest.raises(ValueError, match="at most 10 tokens"):
        engine.run(random_ids(engine.model.spec, packing), packing)


def test_a_token_type_outside_the_table_is_refused():
    engine = NativeEngine(random_model(bert_spec()), threads=1)
    with pytest.raises(BackendError, match="type of token 1 is 2"):
        engine.run(torch.tensor([3, 4]), Packing.of([2]), torch.tensor([0, 2]))


@pytest.mark.parametrize("boundaries", [(0, 3), (0, 2, 1, 4), (1, 4), (0, 9, 4), (0, -5, 4), (0, 2**62, 4)])
def test_boundaries_that_do_not_fit_are_refused(boundaries: tuple[int, ...]):
    engine = NativeEngine(random_model(bert_spec()), threads=1)
    ids, ends, out = torch.zeros(4, dtype=torch.int64), torch.tensor(boundaries), torch.empty(4, 24)
    pointers = [each.data_ptr() for each in (ids, ends, out)]

    handle = engine._current().pointer
    code = library().vt_encode(handle, pointers[0], pointers[0], None, None, 4, pointers[1], len(ends) - 1, pointers[2])

    assert code == 1
    assert "boundaries" in last_error()


@pytest.mark.parametrize(
    "field",
    [
        "vocab_size",
        "embedding_size",
        "hidden_size",
        "num_heads",
        "head_dim",
        "intermediate_size",
        "num_layers",
        "num_sets",
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2**31 - 1])
def test_hostile_sizes_are_refused_before_memory_is_asked_for(field: str, value: int):
    sizes = _sizes(bert_spec())
    setattr(sizes, field, value)

    assert not library().vt_create(ctypes.byref(sizes), _layers(bert_spec()), 0, 1)
    assert field in last_error()


def test_layers_of_a_set_that_does_not_exist_are_refused():
    layers = _layers(bert_spec())
    layers[1].set = 2

    assert not library().vt_create(ctypes.byref(_sizes(bert_spec())), layers, 0, 1)
    assert "layer 1 uses set 2 of 2" in last_error()


def test_a_tensor_of_another_shape_is_refused_and_a_missing_one_named():
    pointer = library().vt_create(ctypes.byref(_sizes(bert_spec())), _layers(bert_spec()), 0, 1)
    data = torch.zeros(31, 24)

    for role, layer, rows, columns in [
        (Role.TOKEN_TABLE, 0, 31, 23),
        (Role.TOKEN_TABLE, 1, 31, 24),
        (Role.QUERY, 2, 24, 24),
        (Role.QUERY, -1, 24, 24),
        (Role.GATE, 0, 40, 24),
        (29, 0, 24, 24),
        (-1, 0, 24, 24),
    ]:
        assert library().vt_set_tensor(pointer, role, layer, data.data_ptr(), rows, columns) == 1
    assert library().vt_ready(pointer) == 2
    assert "missing" in last_error()
    library().vt_destroy(pointer)


def test_wrong_arguments_are_value_errors():
    model = random_model(bert_spec())
    with pytest.raises(ValueError, match="float32, int8, float16"):
        NativeEngine(model, "bfloat16")
    with pytest.raises(ValueError, match="threads must be at least 1"):
        NativeEngine(model, threads=0)
    with pytest.raises(ValueError, match="packing is of 3 tokens"):
        NativeEngine(model, threads=1).run(torch.tensor([1, 2]), Packing.of([3]))


def test_a_pickled_engine_gives_the_same():
    engine = NativeEngine(random_model(bert_spec()), "int8", 1)
    packing = Packing.of([5, 2])
    ids = random_ids(engine.model.spec, packing)

    again = pickle.loads(pickle.dumps(engine))

    assert torch.equal(again.run(ids, packing), engine.run(ids, packing))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_gives_the_same():
    engine = NativeEngine(random_model(bert_spec()), threads=2)
    packing = Packing.of([50, 20])
    ids = random_ids(engine.model.spec, packing)
    wanted = engine.run(ids, packing)

    child = os.fork()
    if not child:
        os._exit(0 if torch.equal(engine.run(ids, packing), wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
