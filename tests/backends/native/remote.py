"""An engine that runs in another process, perhaps under an emulator, in place of the loaded library.

It has the library's functions, so `NativeEngine`, and the tests of it, cannot tell. remote_engine.cpp is the other end.
"""

import ctypes
import os
import struct
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from vitrail.backends.native.library import VERSION, LayerOf, Sizes


class Remote:
    """`command` starts the process. Calls from several threads take turns."""

    def __init__(self, command: Sequence[str]):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.widths: dict[int, int] = {}  # of an engine's rows
        self.turn = threading.RLock()
        assert self._call("i", b"v") == VERSION

    def vt_version(self) -> int:
        return self._call("i", b"v")

    def vt_isa(self) -> bytes | None:
        with self.turn:
            self._choose()
            return self._text(b"i")

    def vt_last_error(self) -> bytes:
        return self._text(b"e") or b""

    def vt_create(self, sizes: Any, layers: Any, precision: int, threads: int) -> int:
        of: Sizes = sizes._obj
        with self.turn:
            self._choose()
            described = _array(bytes(of)) + _array(ctypes.string_at(layers, ctypes.sizeof(LayerOf) * of.num_layers))
            handle = self._call("q", b"c", described, struct.pack("=ii", precision, threads))
            self.widths[handle] = of.hidden_size
            return handle

    def vt_destroy(self, handle: int) -> None:
        with self.turn:
            self._send(b"d", struct.pack("=q", handle))

    def vt_set_tensor(self, handle: int, role: int, index: int, data: int, rows: int, columns: int) -> int:
        floats = _array(ctypes.string_at(data, 4 * rows * columns))
        return self._call("i", b"t", struct.pack("=qiiqq", handle, role, index, rows, columns), floats)

    def vt_ready(self, handle: int) -> int:
        return self._call("i", b"r", struct.pack("=q", handle))

    def vt_encode(
        self,
        handle: int,
        ids: int,
        positions: int,
        types: int | None,
        columns: int | None,
        tokens: int,
        boundaries: int,
        sequences: int,
        out: int,
    ) -> int:
        floats = tokens * self.widths[handle]
        arrays = b"".join(_of_ids(each, tokens) for each in (ids, positions, types, columns))
        asked = arrays + _of_ids(boundaries, sequences + 1) + struct.pack("=qqq", tokens, sequences, floats)
        with self.turn:
            code = self._call("i", b"x", struct.pack("=q", handle), asked)
            ctypes.memmove(out, self._receive(4 * floats), 4 * floats)
            return code

    def _choose(self) -> None:
        self._send(b"s", _array(os.environ.get("VITRAIL_ISA", "").encode()))

    def _call(self, answer: str, *parts: bytes) -> Any:
        with self.turn:
            self._send(*parts)
            return struct.unpack(f"={answer}", self._receive(struct.calcsize(f"={answer}")))[0]

    def _text(self, call: bytes) -> bytes | None:
        with self.turn:
            size = self._call("q", call)
            return None if size < 0 else self._receive(size)

    def _send(self, *parts: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(parts))
        self.process.stdin.flush()

    def _receive(self, size: int) -> bytes:
        assert self.process.stdout is not None
        found = self.process.stdout.read(size)
        assert len(found) == size, f"the engine's process ended, with {self.process.wait()}"
        return found


def _array(data: bytes) -> bytes:
    return struct.pack("=q", len(data)) + data


def _of_ids(address: int | None, count: int) -> bytes:
    """An array of 64-bit numbers at an address; torch gives 0 for one without elements."""
    return struct.pack("=q", -1) if address is None else _array(ctypes.string_at(address, 8 * count) if count else b"")
