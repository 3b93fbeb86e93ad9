"""The header of a safetensors file: read, and every claim in it checked, before anything else touches the file.

The format is 8 bytes of length (little-endian), a JSON header with each tensor's dtype, shape and place, and the bytes.
"""

import json
import math
import struct
from pathlib import Path
from typing import NoReturn

import torch

from vitrail.errors import DamagedFile

MAX_HEADER_BYTES = 100_000_000

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}

Entries = dict[str, tuple[torch.dtype, tuple[int, ...]]]  # what a header says of each tensor


def read_header(path: Path) -> Entries:
    """What the header of a safetensors file says, in the order of the bytes, once every claim has been checked.

    The tensors must cover the rest of the file exactly: no gap, no overlap, nothing behind the last.
    """
    try:
        with path.open("rb") as file:
            total = path.stat().st_size
            prefix = file.read(8)
            header_bytes = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else total
            if header_bytes > MAX_HEADER_BYTES and header_bytes <= total - 8:
                damaged(path, f"the header claims {header_bytes} bytes, more than the limit of {MAX_HEADER_BYTES}")
            if header_bytes > total - 8:
                damaged(path, f"{total} bytes are too few for a header of {header_bytes}: the file is cut off")
            content = file.read(header_bytes)
    except OSError as error:
        raise DamagedFile(f"{path} cannot be read: {error.strerror}.") from error
    if not content.startswith(b"{"):
        damaged(path, "the header is not JSON")
    try:
        header = json.loads(content.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: the header is not valid JSON ({error}). Download it again.") from error
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        damaged(path, "__metadata__ is not a table of texts")

    entries = {name: _read_entry(path, name, entry) for name, entry in header.items()}
    position = 0
    placed = sorted(entries.items(), key=lambda item: item[1][2])
    for name, (_, _, (begin, end)) in placed:
        if begin != position:
            damaged(path, f"tensor {name!r} begins at byte {begin}, but the one before it ends at {position}")
        position = end
    if position != total - 8 - header_bytes:
        damaged(path, f"the tensors take {position} bytes, the file holds {total - 8 - header_bytes}")
    return {name: (dtype, shape) for name, (dtype, shape, _) in placed}


def damaged(path: Path, what: str) -> NoReturn:
    """Refuse a file, saying what is wrong with it."""
    raise DamagedFile(f"{path}: {what}. Download it again.")


def _read_entry(path: Path, name: str, entry: object) -> tuple[torch.dtype, tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        damaged(path, f"the header of tensor {name!r} must give dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        damaged(path, f"tensor {name!r} has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_sizes(shape):
        damaged(path, f"tensor {name!r} has an impossible shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        damaged(path, f"tensor {name!r} has impossible offsets")
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != wanted:
        damaged(path, f"tensor {name!r} needs {wanted} bytes and is given {offsets[1] - offsets[0]}")
    return DTYPES[dtype], tuple(shape), (offsets[0], offsets[1])


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands in it twice")
    return table
