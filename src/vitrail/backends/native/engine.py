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
from vitrail.backends.native.tables import rotation_bases, tables_by_column
from vitrail.errors import BackendError
from vitrail.layers.encoder_layer import EncoderLayer
from vitrail.layers.packing import Packing
from vitrail.layers.positions import learned
from vitrail.models import DisentangledPositions, EncoderModel, EncoderSpec

_WIDEST_HEAD = 256
_FIRST_COLUMNS = 512

# The engines of a process take turns, each with all its threads: together they would have more than there are cores.
_TURN = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_TURN=threading.Lock()))


def unsupported(spec: EncoderSpec) -> str | None:
    """Why the engine cannot run models of this spec exactly, in words that follow "the model has"; None: it can."""
    reasons = {
        "positions that meet content (DeBERTa's)": isinstance(spec.relation, DisentangledPositions),
        f"heads wider than {_WIDEST_HEAD}": spec.head_dim > _WIDEST_HEAD,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


class NativeEngine:
    """Runs one model. The weights are packed when the engine is made: later changes of them do not reach it.

    float32 differs from the model by rounding. int8 quantises the inputs of every product per token and the weights per
    output, in wider steps on AVX2 without VNNI (pack.cpp); softmax, normalisations and the residual stream stay in
    float32. Attention's two products round their inputs
    to float16 (AVX512-FP16) or bfloat16 (AVX512-BF16) where the processor multiplies those; elsewhere they too stay in
    float32. float16 (AVX512-FP16 alone) rounds the inputs of every product and its weights; at most 64 products are
    summed in float16, what follows in float32.

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
        learned_positions = _learned(self.model)
        positions = packing.columns if learned_positions is None else learned_positions.position_ids(input_ids, packing)
        columns = None if packing.plain else packing.columns
        kept = [_whole(each) for each in (input_ids, positions, token_type_ids, columns, packing.boundaries)]
        ids, rows, types, places, boundaries = (each.data_ptr() if each is not None else None for each in kept)
        hidden = torch.empty(input_ids.shape[0], spec.hidden_size, dtype=torch.float32)
        handle = self._current()
        tokens, sequences = input_ids.shape[0], packing.num_sequences
        longest = packing.max_length if packing.plain else int(packing.columns.max()) + 1 if tokens else 0
        with _TURN:
            handle.cover(longest)
            code = library().vt_encode(
                handle.pointer, ids, rows, types, places, tokens, boundaries, sequences, hidden.data_ptr()
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
        self.model = model
        self.num_columns = 0
        self.tables: dict[tuple[Role, int], Tensor] = {}
        for role, index, tensor in _tensors(model):
            self._set(role, index, tensor)
        self.cover(_FIRST_COLUMNS)
        _check(library().vt_ready(pointer))

    def cover(self, num_columns: int) -> None:
        """See to it that the tables by column have so many; not while the engine runs."""
        if num_columns <= self.num_columns:
            return
        num_columns = max(num_columns, 2 * self.num_columns)
        for role, index, tensor in tables_by_column(self.model, num_columns):
            self._set(role, index, tensor)
        self.num_columns = num_columns

    def _set(self, role: Role, index: int, tensor: Tensor) -> None:
        data = tensor.detach().to("cpu", torch.float32).contiguous()
        rows, columns = (1, data.shape[0]) if data.ndim == 1 else data.shape
        _check(library().vt_set_tensor(self.pointer, role, index, data.data_ptr(), rows, columns))
        if role <= Role.SCORE_BIAS:
            self.tables[role, index] = data


def _destroy(pointer: int, process: int) -> None:
    if process == os.getpid():  # the threads it would wait for do not exist in a fork
        library().vt_destroy(pointer)


def _check(code: int) -> None:
    if code:
        raise BackendError(f"the native engine refuses: {last_error()}")


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to("cpu", torch.int64).contiguous()


def _sizes(spec: EncoderSpec) -> Sizes:
    return Sizes(
        vocab_size=spec.vocab_size,
        num_token_types=spec.num_token_types,
        positions=spec.added is not None,
        embedding_size=spec.embedding_size,
        hidden_size=spec.hidden_size,
        num_heads=spec.num_heads,
        num_kv_heads=spec.num_kv_heads,
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
        causal=spec.causal,
        num_rotations=len(rotation_bases(spec)),
        rotary_dim=0 if spec.rotary is None else spec.rotary.rotary_dim,
        score_bias=spec.relation is not None,
        norm_epsilon=spec.norm_epsilon,
        embedding_scale=spec.embedding_scale,
    )


def _layers(spec: EncoderSpec) -> ctypes.Array[LayerOf]:
    bases = rotation_bases(spec)
    each = (
        LayerOf(
            set=group,
            window=-1 if window is None else min(window, 1 << 30),
            rotation=-1 if spec.rotary is None else bases.index(spec.rotary.bases[layer]),
        )
        for layer, (group, window) in enumerate(zip(spec.shared_layers, spec.windows, strict=True))
    )
    return (LayerOf * spec.num_layers)(*each)


def _tensors(model: EncoderModel) -> Iterator[tuple[Role, int, Tensor]]:
    """Every tensor with its role and set of parameters; what the model lacks is left out."""
    embeddings = model.embeddings
    yield Role.TOKEN_TABLE, 0, embeddings.tokens.weight
    if (learned_positions := _learned(model)) is not None:
        yield Role.POSITION_TABLE, 0, learned_positions.table.weight
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


def _learned(model: EncoderModel) -> learned.LearnedPositions | None:
    positions = model.embeddings.positions
    return positions if isinstance(positions, learned.LearnedPositions) else None


def _pair(weight: Role, index: int, module: nn.Module) -> Iterator[tuple[Role, int, Tensor]]:
    """A module's weight and, in the role after it, its bias; nothing of an absent normalisation (an identity)."""
    for role, name in ((weight, "weight"), (Role(weight + 1), "bias")):
        tensor = getattr(module, name, None)
        if isinstance(tensor, Tensor):
            yield role, index, tensor
