"""Bytes into lines of bounded length, and the checks that a file is text at all.

Lines end with LF or CR LF. They are UTF-8, a byte order mark is dropped. A line that is too long or not UTF-8
carries the reason and what could be read of it; the stream goes on behind it.
"""

import gzip
import sys
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple, cast

from vitrail.errors import FileFormatError
from vitrail.files.rows import MAX_ROW_BYTES

MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed with gzip (its name must then end in .gz)",
    b"PK\x03\x04": "a zip archive or office document",
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8",
    b"\x93NUMPY": "a NumPy array",
}
BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "is not UTF-8"
"""In the reason of every line or text that is not."""


class Line(NamedTuple):
    number: int
    """Counted from 1, as editors do."""
    text: str
    """With its line ending; bytes that are not UTF-8 are U+FFFD, and a line too long is empty."""
    error: str | None
    size: int


def open_bytes(source: str) -> BufferedIOBase:
    """Open a file, a file compressed with gzip (`.gz`), or standard input (`-`)."""
    if source == "-":
        return cast(BufferedIOBase, sys.stdin.buffer)
    if source.endswith(".gz"):
        return gzip.open(source, "rb")
    return Path(source).open("rb")


def bounded_lines(stream: BufferedIOBase, *, source: str) -> Iterator[Line]:
    number = 0
    try:
        while content := stream.readline(MAX_ROW_BYTES + 1):
            number += 1
            if number == 1:
                refuse_binary(content, source=source)
                content = content.removeprefix(BOM)
            yield read_line(number, content, stream)
    except (gzip.BadGzipFile, EOFError) as error:
        raise FileFormatError(f"{source} is not, or not wholly, a gzip file: {error}") from error


def refuse_binary(start: bytes, *, source: str) -> None:
    """Raise `FileFormatError` when the first bytes say that this is no UTF-8 text."""
    for magic, meaning in MAGIC.items():
        if start.startswith(magic):
            raise FileFormatError(f"{source} should be text by its name or --format, but is {meaning}.")


def read_line(number: int, content: bytes, stream: BufferedIOBase) -> Line:
    if len(content) > MAX_ROW_BYTES and not content.endswith(b"\n"):
        while (rest := stream.readline(2**20)) and not rest.endswith(b"\n"):
            pass
        return Line(number, "\n", f"line {number} is longer than {MAX_ROW_BYTES} bytes", 1)
    try:
        return Line(number, content.decode(), None, len(content))
    except UnicodeDecodeError as error:
        reason = f"line {number} {NOT_UTF8} (byte {content[error.start]:#04x} at position {error.start})"
        return Line(number, content.decode(errors="replace"), reason, len(content))
