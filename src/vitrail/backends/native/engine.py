"""An `EncoderModel` handed to the native engine, tensor by tensor, and run by it."""

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.backends.native.library import ACTIVATIONS, PRECISIONS, LayerOf, Role, Sizes, last_error, library
from vitrail.errors import BackendError
from vitrail.layers.encoder_layer import EncoderLayer
from vitrail.layers.packing import Packing
from vitrail.layers.positions import learned
from vitrail.models import EncoderModel, EncoderSpec, LearnedPositions

_WIDEST_HEAD = 256

# The engines of a process take turns, each with all its threads: together they would have more than there are cores.
_TURN = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_TURN=threading.Lock()))


def unsupported(spec: EncoderSpec) -> str | None:
    """Why the engine cannot run models of this spec exactly, in words that follow "the model has"; None: it can."""
    reasons = {
        "positions other than a learned table": len(spec.positions) != 1
        or not isinstance(spec.positions[0], LearnedPositions),
        "causal attention": spec.causal,
        "attention windows": any(window is not None for window in spec.windows),
        "fewer key/value heads than heads": spec.num_kv_heads != spec.num_heads,
        f"heads wider than {_WIDEST_HEAD}": spec.head_dim > _WIDEST_HEAD,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


class NativeEngine:
    """Runs one model. The weights are packed when the engine is made: later changes of them do not reach it.

    float32 differs from the model by rounding. int8 quantises the inputs of every product per token and the weights per
    output; softmax, normalisations and the residual stream stay in float32.

    May be called from several threads at once; the calls to all engines of a process take turns, each with all its
    `threads`. A forked process packs the weights again when it first runs.
    """

    def __init__(self, model: EncoderModel, precision: str = "float32", threads: int | None = None):
        """`threads` None: as many as torch uses."""
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: choose among {', '.join(PRECISIONS)}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        reason = unsupported(model.spec)
        if reason is not None:
            raise BackendError(f"the native engine cannot run this model, as it has {reason}; use the torch path")
        self.model = model
        self.precision = precision
        self.threads = torch.get_num_threads() if threads is None else threads
        self._lock = threading.Lock()
        self._handle: _Handle | None = None
        self._current()

    def run(
        self,
        input_ids: Int[Tensor, " tokens"],
        packing: Packing,
        token_type_ids: Int[Tensor, " tokens"] | None = None,
    ) -> Float[Tensor, "tokens hidden"]:
        """The hidden states, as the model in eval mode gives them."""
        spec = self.model.spec
        if packing.num_tokens != input_ids.shape[0]:
            raise ValueError(f"the packing is of {packing.num_tokens} tokens, input_ids has {input_ids.shape[0]}")
        if token_type_ids is not None and not spec.num_token_types:
            if token_type_ids.any():
                raise ValueError("token_type_ids holds other than 0, and this model has no token types; leave them out")
            token_type_ids = None
        positions = _learned(self.model).position_ids(input_ids, packing)
        kept = [_whole(each) for each in (input_ids, positions, token_type_ids, packing.boundaries)]
        ids, columns, types, boundaries = (each.data_ptr() if each is not None else None for each in kept)
        hidden = torch.empty(input_ids.shape[0], spec.hidden_size, dtype=torch.float32)
        handle = self._current()
        tokens, sequences = input_ids.shape[0], packing.num_sequences
        with _TURN:
            code = library().vt_encode(
                handle.pointer, ids, columns, types, tokens, boundaries, sequences, hidden.data_ptr()
            )
            _check(code)
        return hidden

    def _current(self) -> "_Handle":
        """The handle of this process: a fork copies memory, but not the threads of the pool."""
        with self._lock:
            if self._handle is None or self._handle.process != os.getpid():
                self._handle = _Handle(self.model, PRECISIONS[self.precision], self.threads)
            return self._handle

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "precision": self.precision, "threads": self.threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class _Handle:
    """`vt_engine`, given the model's tensors, and what keeps alive those it does not copy."""

    def __init__(self, model: EncoderModel, precision: int, threads: int):
        self.process = os.getpid()
        pointer = library().vt_create(ctypes.byref(_sizes(model.spec)), _layers(model.spec), precision, threads)
        if not pointer:
            raise BackendError(f"the native engine refuses: {last_error()}")
        self.pointer = pointer
        weakref.finalize(self, _destroy, pointer, self.process)
        self.tables = []
        for role, index, tensor in _tensors(model):
            data = tensor.detach().to("cpu", torch.float32).contiguous()
            rows, columns = (1, data.shape[0]) if data.ndim == 1 else data.shape
            _check(library().vt_set_tensor(pointer, role, index, data.data_ptr(), rows, columns))
            if role <= Role.TYPE_TABLE:
                self.tables.append(data)
        _check(library().vt_ready(pointer))


def _destroy(pointer: int, process: int) -> None:
    if process == os.getpid():  # the threads it would wait for do not exist in a fork
        library().vt_destroy(pointer)


def _check(code: int) -> None:
    if code:
        raise BackendError(f"the native engine refuses: {last_error()}")


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to("cpu", torch.int64).contiguous()


def _sizes(spec: EncoderSpec) -> Sizes:
    (positions,) = spec.positions
    assert isinstance(positions, LearnedPositions)
    return Sizes(
        vocab_size=spec.vocab_size,
        max_positions=positions.max_positions,
        num_token_types=spec.num_token_types,
        embedding_size=spec.embedding_size,
        hidden_size=spec.hidden_size,
        num_heads=spec.num_heads,
        head_dim=spec.head_dim,
        intermediate_size=spec.intermediate_size,
        num_layers=spec.num_layers,
        num_sets=len(set(spec.shared_layers)),
        activation=ACTIVATIONS[spec.activation],
        gated=spec.gated,
        rms_norm=spec.normalization == "rms_norm",
        pre_norm=spec.pre_norm,
        embedding_norm=spec.embedding_norm,
        first_attention_norm=spec.first_attention_norm,
        final_norm=spec.final_norm,
        norm_epsilon=spec.norm_epsilon,
        embedding_scale=spec.embedding_scale,
    )


def _layers(spec: EncoderSpec) -> ctypes.Array[LayerOf]:
    return (LayerOf * spec.num_layers)(*(LayerOf(set=group) for group in spec.shared_layers))


def _tensors(model: EncoderModel) -> Iterator[tuple[Role, int, Tensor]]:
    """Every tensor with its role and set of parameters; what the model lacks is left out."""
    embeddings = model.embeddings
    yield Role.TOKEN_TABLE, 0, embeddings.tokens.weight
    yield Role.POSITION_TABLE, 0, _learned(model).table.weight
    if embeddings.token_types is not None:
        yield Role.TYPE_TABLE, 0, embeddings.token_types.weight
    if embeddings.normalization is not None:
        yield from _pair(Role.EMBEDDING_GAIN, 0, embeddings.normalization)
    if embeddings.projection is not None:
        yield from _pair(Role.PROJECTION, 0, embeddings.projection)
    yield from _pair(Role.FINAL_GAIN, 0, model.final_norm)
    for index, layer in dict(zip(model.spec.shared_layers, model.layers, strict=True)).items():
        assert isinstance(layer, EncoderLayer)
        yield from _pair(Role.QUERY, index, layer.attention.query)
        yield from _pair(Role.KEY, index, layer.attention.key)
        yield from _pair(Role.VALUE, index, layer.attention.value)
        yield from _pair(Role.OUTPUT, index, layer.attention.output)
        yield from _pair(Role.ATTENTION_GAIN, index, layer.attention_norm)
        yield from _pair(Role.UP, index, layer.feed_forward.up)
        if layer.feed_forward.gate is not None:
            yield from _pair(Role.GATE, index, layer.feed_forward.gate)
        yield from _pair(Role.DOWN, index, layer.feed_forward.down)
        yield from _pair(Role.FEED_FORWARD_GAIN, index, layer.feed_forward_norm)


def _learned(model: EncoderModel) -> learned.LearnedPositions:
    positions = model.embeddings.positions
    assert isinstance(positions, learned.LearnedPositions)
    return positions


def _pair(weight: Role, index: int, module: nn.Module) -> Iterator[tuple[Role, int, Tensor]]:
    """A module's weight and, in the role after it, its bias; nothing of an absent normalisation (an identity)."""
    for role, name in ((weight, "weight"), (Role(weight + 1), "bias")):
        tensor = getattr(module, name, None)
        if isinstance(tensor, Tensor):
            yield role, index, tensor
