"""Rows through an encoder, a part at a time.

The rows of a part are encoded in one call. Which rows these are depends on the input alone, never on where a job was
interrupted, so a part computed again has the same bytes.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vitrail.errors import TruncationWarning
from vitrail.files.embedding_table import embedding_table, token_table
from vitrail.files.rows import Row
from vitrail.jobs.halving import encode_rows

PART_ROWS = 2048
PART_BYTES = 2**20
"""A part ends at whichever comes first: some seconds of work on a CPU, and little memory."""
TOKEN_PART_ROWS = 128
TOKEN_PART_BYTES = 2**16
"""One vector per token takes up to some kilobytes for every byte of text."""


@runtime_checkable
class EncoderLike(Protocol):
    """What a job needs of `vitrail.Encoder`."""

    @property
    def name(self) -> Any: ...
    @property
    def revision(self) -> Any: ...
    @property
    def weights_sha256(self) -> Any: ...
    @property
    def precision(self) -> Any: ...
    @property
    def prompts(self) -> Any: ...
    @property
    def default_prompt(self) -> Any: ...
    @property
    def pooling_spec(self) -> Any: ...
    @property
    def runtime(self) -> Any: ...
    @property
    def hidden_size(self) -> int: ...

    def embed_detailed(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        overlong: Any = "truncate",
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
    ) -> Any: ...

    def tokens(self, texts: Sequence[str], *, overlong: Any = "truncate") -> Any: ...


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """How texts are embedded; as the arguments of `Encoder.embed`. `tokens`: a vector per token, not per text."""

    tokens: bool = False
    prompt: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    overlong: str = "truncate"
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        pooled = (self.prompt, self.normalize, self.dimensions, self.batch_tokens)
        if self.tokens and any(option is not None for option in pooled):
            raise ValueError("a vector per token takes no prompt, normalize, dimensions or batch_tokens")

    def for_encoder(self) -> dict[str, Any]:
        """The arguments of `Encoder.embed_detailed`."""
        return {name: value for name, value in vars(self).items() if name != "tokens"} | {"show_progress": False}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows of the output as an Arrow table, and what to count of them."""

    table: Any
    errors: int
    truncated: int
    tokens: int

    def counts(self) -> dict[str, int]:
        return {"errors": self.errors, "truncated": self.truncated, "tokens": self.tokens}


def parts_of(rows: Iterable[Row], *, tokens: bool) -> Iterator[list[Row]]:
    """Cut a stream of rows into parts, by the rows alone."""
    most_rows, most_bytes = (TOKEN_PART_ROWS, TOKEN_PART_BYTES) if tokens else (PART_ROWS, PART_BYTES)
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and (len(part) == most_rows or size + row.size > most_bytes):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part:
        yield part


def vector_size(encoder: EncoderLike, options: EmbedOptions) -> int:
    """The length of the vectors. Embeds one word, so that an argument the model refuses is an error at the start."""
    if options.tokens:
        return encoder.hidden_size
    return int(encoder.embed_detailed(["text"], **options.for_encoder()).vectors.shape[1])


def encode_part(encoder: EncoderLike, rows: Sequence[Row], options: EmbedOptions, *, size: int) -> Part:
    """The part of the output for `rows`, with vectors of length `size`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the output and the report count what was cut
        return (token_part if options.tokens else vector_part)(encoder, rows, options, size)


def vector_part(encoder: EncoderLike, rows: Sequence[Row], options: EmbedOptions, size: int) -> Part:
    arguments = options.for_encoder()

    def embed(texts: list[str]) -> list[tuple[np.ndarray, int, int, bool]]:
        found = encoder.embed_detailed(texts, **arguments)
        counts = (np.asarray(column).tolist() for column in (found.input_tokens, found.used_tokens, found.truncated))
        return list(zip(found.vectors, *counts, strict=True))

    results, errors = encode_rows(rows, embed)
    missing = (np.zeros(size, np.float32), 0, 0, False)
    columns = [missing if result is None else result for result in results]
    used = np.array([column[2] for column in columns], np.int64)
    table = embedding_table(
        rows,
        errors,
        vectors=np.array([column[0] for column in columns], np.float32).reshape(len(rows), size),
        input_tokens=np.array([column[1] for column in columns], np.int64),
        used_tokens=used,
    )
    return Part(
        table=table,
        errors=sum(error is not None for error in errors),
        truncated=sum(bool(column[3]) for column in columns),
        tokens=int(used.sum()),
    )


def token_part(encoder: EncoderLike, rows: Sequence[Row], options: EmbedOptions, size: int) -> Part:
    results, errors = encode_rows(rows, lambda texts: list(encoder.tokens(texts, overlong=options.overlong)))
    return Part(
        table=token_table(rows, errors, texts=results, hidden=size),
        errors=sum(error is not None for error in errors),
        truncated=sum(bool(result.truncated) for result in results if result is not None),
        tokens=sum(len(result.ids) for result in results if result is not None),
    )


def prompt_text(encoder: EncoderLike, options: EmbedOptions) -> str | None:
    """What stands before every text: the model may keep the name of a prompt and change its text."""
    name = encoder.default_prompt if options.prompt is None else options.prompt
    return None if options.tokens or name is None else encoder.prompts.get(name, name)
