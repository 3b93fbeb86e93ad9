"""What a job was begun with: the model, the options and the content of every input, as one flat dictionary.

Two runs with the same fingerprint compute the same bytes, so the second may go on where the first stopped. An input is
its sha256, read whole: a file edited in place may keep its size and time, and hashing costs nothing beside embedding.
The number of threads is left out on purpose, so that a job can be resumed on a busier machine.
"""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrail.files.reading import format_of
from vitrail.jobs import encoding
from vitrail.jobs.encoding import EmbedOptions, EncoderLike, prompt_text

STREAM = "a stream, which cannot be read twice"


def is_stream(source: str) -> bool:
    """Whether the input is standard input or a pipe."""
    return source == "-" or not stat.S_ISREG(Path(source).stat().st_mode)


def fingerprint(
    encoder: EncoderLike,
    options: EmbedOptions,
    *,
    inputs: Sequence[str],
    column: str | None,
    file_format: str | None,
    version: str,
) -> dict[str, Any]:
    tokens = options.tokens
    limits = (
        (encoding.TOKEN_PART_ROWS, encoding.TOKEN_PART_BYTES) if tokens else (encoding.PART_ROWS, encoding.PART_BYTES)
    )
    return {
        "vitrail": version,
        "weights_sha256": encoder.weights_sha256,
        "precision": str(encoder.precision),
        "device": str(encoder.runtime.get("device")),
        "pooling": describe_pooling(encoder),
        "prompt text": prompt_text(encoder, options),
        **vars(options),
        "column": column,
        "part limits": list(limits),
        **{
            f"input {number} ({format_of(source, file_format)})": STREAM if is_stream(source) else content_hash(source)
            for number, source in enumerate(inputs, start=1)
        },
    }


def describe_pooling(encoder: EncoderLike) -> dict[str, Any] | None:
    spec = encoder.pooling_spec
    return None if spec is None else {"modes": list(spec.modes), "normalize": bool(spec.normalize)}


def content_hash(source: str) -> str:
    with Path(source).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_state(path: Path | str) -> tuple[int, int]:
    """(bytes, time of the last change in ns): cheap, to see that a file is still the one it was a moment ago."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """name -> (then, now) for everything that differs."""
    names = [*then, *(name for name in now if name not in then)]
    return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}
