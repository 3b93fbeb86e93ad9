"""The native engine: the same model in C++, for x86-64 with AVX2 or more and for Arm, in float32, float16 and int8.

The one idea: a chunk of whole sequences goes through all layers on one thread, in memory that stays in its cache, and
nothing waits for anything. The C++ lies in `cpp/` (read engine.h, then encode.inl); it is compiled when vitrail is
installed where a compiler exists, and loaded with ctypes when it is first used.
"""

from vitrail.backends.native.engine import NativeEngine, unsupported
from vitrail.backends.native.library import FLOAT16_NEEDS, instruction_set, is_built

__all__ = ["FLOAT16_NEEDS", "NativeEngine", "instruction_set", "is_built", "unsupported"]
