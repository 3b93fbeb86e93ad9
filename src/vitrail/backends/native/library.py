"""The engine's shared library, which lies beside this file, and its C interface (cpp/engine.h) as ctypes sees it."""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from enum import IntEnum
from functools import cache
from pathlib import Path

from vitrail.errors import BackendError

VERSION = 4
PRECISIONS = {"float32": 0, "int8": 1, "float16": 2}
FLOAT16_NEEDS = "avx512fp16"  # the one instruction set that multiplies float16
ACTIVATIONS = {"gelu": 0, "gelu_tanh": 1, "relu": 2, "silu": 3}


class Sizes(Structure):
    """`vt_sizes`."""

    _fields_ = (
        ("vocab_size", c_int32),
        ("num_token_types", c_int32),
        ("positions", c_int32),
        ("embedding_size", c_int32),
        ("hidden_size", c_int32),
        ("num_heads", c_int32),
        ("num_kv_heads", c_int32),
        ("head_dim", c_int32),
        ("intermediate_size", c_int32),
        ("num_layers", c_int32),
        ("num_sets", c_int32),
        ("activation", c_int32),
        ("gated", c_int32),
        ("rms_norm", c_int32),
        ("pre_norm", c_int32),
        ("embedding_norm", c_int32),
        ("first_attention_norm", c_int32),
        ("final_norm", c_int32),
        ("causal", c_int32),
        ("num_rotations", c_int32),
        ("rotary_dim", c_int32),
        ("score_bias", c_int32),
        ("norm_epsilon", c_float),
        ("embedding_scale", c_float),
    )


class LayerOf(Structure):
    """`vt_layer`."""

    _fields_ = (("set", c_int32), ("window", c_int32), ("rotation", c_int32))


class Role(IntEnum):
    """`vt_role`: which tensor is handed over."""

    TOKEN_TABLE = 0
    POSITION_TABLE = 1
    TYPE_TABLE = 2
    ROTATION = 3
    SCORE_BIAS = 4
    EMBEDDING_GAIN = 5
    EMBEDDING_SHIFT = 6
    PROJECTION = 7
    PROJECTION_BIAS = 8
    FINAL_GAIN = 9
    FINAL_SHIFT = 10
    QUERY = 11
    QUERY_BIAS = 12
    KEY = 13
    KEY_BIAS = 14
    VALUE = 15
    VALUE_BIAS = 16
    OUTPUT = 17
    OUTPUT_BIAS = 18
    ATTENTION_GAIN = 19
    ATTENTION_SHIFT = 20
    UP = 21
    UP_BIAS = 22
    GATE = 23
    GATE_BIAS = 24
    DOWN = 25
    DOWN_BIAS = 26
    FEED_FORWARD_GAIN = 27
    FEED_FORWARD_SHIFT = 28


_FUNCTIONS = {
    "vt_version": (c_int32, ()),
    "vt_isa": (c_char_p, ()),
    "vt_create": (c_void_p, (POINTER(Sizes), POINTER(LayerOf), c_int32, c_int32)),
    "vt_destroy": (None, (c_void_p,)),
    "vt_set_tensor": (c_int32, (c_void_p, c_int32, c_int32, c_void_p, c_int64, c_int64)),
    "vt_ready": (c_int32, (c_void_p,)),
    "vt_encode": (c_int32, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, c_int64, c_void_p)),
    "vt_last_error": (c_char_p, ()),
}


def is_built() -> bool:
    """Whether the library was compiled when vitrail was installed."""
    return _file() is not None


def instruction_set() -> str:
    """What runs: "avx512fp16", "avx512bf16", "avx512vnni", "avxvnni", "avx2", or on Arm "neondot".

    A `BackendError` says why none does.
    """
    name = library().vt_isa()
    if name is None:
        raise BackendError(f"{last_error()}. The torch path runs on any processor")
    return str(name.decode())


def last_error() -> str:
    """What the last call of this thread that failed found."""
    return str(library().vt_last_error().decode(errors="replace"))


@cache
def library() -> ctypes.CDLL:
    """The loaded library. Calls into it release Python's lock."""
    file = _file()
    if file is None:
        raise BackendError(
            "the native engine was not built when vitrail was installed; install vitrail again where a C++ compiler "
            "is found (on x86-64, or on Arm under Linux), or use the torch path"
        )
    try:
        loaded = ctypes.CDLL(str(file))
    except OSError as error:
        raise BackendError(f"{file} cannot be loaded ({error}); install vitrail again on this machine") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    if loaded.vt_version() != VERSION:
        raise BackendError(f"{file} has version {loaded.vt_version()}, this vitrail needs {VERSION}; install it again")
    return loaded


def _file() -> Path | None:
    files = (Path(__file__).with_name(f"vitrail_native{suffix}") for suffix in (".so", ".dylib", ".dll"))
    return next((file for file in files if file.is_file()), None)
