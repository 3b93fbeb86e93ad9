"""Texts to vectors: each distinct text once, in batches of about equal work, back in the order they came."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from vitrail.api.ahead import at_row, pieces_of, tokenized_ahead
from vitrail.api.batches import Source, computed_batches
from vitrail.api.embeddings import Embeddings
from vitrail.api.progress import Progress
from vitrail.api.vector_cache import VectorCache
from vitrail.backends.inference import evaluating
from vitrail.backends.transfers import transfers_for
from vitrail.errors import InputError, NonFiniteOutput, TruncationWarning
from vitrail.layers.packing import Packing
from vitrail.tokenization import TokenBatch

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder

Overlong = Literal["truncate", "error", "window"]

# Texts that a stream holds at once: enough to sort by length, little memory.
STREAM_TEXTS = 4096
STREAM_CHARACTERS = 16 * 2**20
# Steps whose texts are tokenised at once beside a GPU: enough to sort by length, soon done.
_STEPS_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """How texts become vectors; every choice made. `prompt` is its text, "" for none."""

    prompt: str
    normalize: bool
    dimensions: int | None
    overlong: Overlong
    batch_tokens: int


def embed(
    encoder: "Encoder", texts: Sequence[str], options: Options, *, cache: VectorCache | None, progress: Progress
) -> Embeddings:
    """Embed a list of texts. Equal texts are computed once."""
    distinct = dict.fromkeys(texts)
    places = {text: place for place, text in enumerate(distinct)}
    found = cache.get(list(distinct)) if cache is not None else {}
    wanted = [text for text in distinct if text not in found]
    try:
        computed = _compute(encoder, wanted, options, progress)
    except InputError as error:  # its row is that of the distinct texts
        if error.row is None:
            raise
        raise at_row(error, texts.index(wanted[error.row])) from None
    if cache is not None:
        cache.put(wanted, computed)
        computed = _merge(list(distinct), found, wanted, computed)
    result = computed if len(distinct) == len(texts) else _pick(computed, [places[text] for text in texts])
    _refuse_non_finite(result.vectors)
    if result.truncated.any():
        warnings.warn(
            f"{int(result.truncated.sum())} of {len(texts)} texts were cut to {encoder.max_length} tokens; "
            'embed_detailed says which, overlong="window" reads them whole',
            TruncationWarning,
            stacklevel=4,
        )
    return result


def embed_in_chunks(texts: Iterable[str], embed_list: Callable[[list[str]], Embeddings]) -> Iterator[Embeddings]:
    """Embed a stream of texts with bounded memory; the chunks are in the order of the stream."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(chunk) >= STREAM_TEXTS or characters >= STREAM_CHARACTERS:
            yield embed_list(chunk)
            chunk, characters = [], 0
    if chunk:
        yield embed_list(chunk)


def _compute(encoder: "Encoder", texts: Sequence[str], options: Options, progress: Progress) -> Embeddings:
    """On a device that works beside the host, texts are tokenised some steps ahead of it."""
    tokenize = partial(
        encoder.need_tokenizer().encode,
        max_length=encoder.max_length,
        overlong=options.overlong,
        prompt=options.prompt,
    )
    transfers = transfers_for(encoder.device)
    if transfers.ahead:
        batches = tokenized_ahead(tokenize, pieces_of(texts, _STEPS_AHEAD * options.batch_tokens))
        total, unit = len(texts), "texts"
    else:
        whole = tokenize(texts)
        batches = iter([whole])
        total, unit = len(whole.ids), "tokens"
    seen: list[TokenBatch] = []
    vectors: list[Float32[np.ndarray, "sequences dimensions"]] = []

    def sources() -> Iterator[Source]:
        for batch in batches:
            seen.append(batch)
            vectors.append(np.zeros((len(batch.boundaries) - 1, encoder.dimensions), dtype=np.float32))
            yield Source(ids=batch.ids, boundaries=batch.boundaries)

    def run(ids: Tensor, packing: Packing) -> Tensor:
        skipped = 0 if encoder.pooling_spec.include_prompt else seen[-1].prompt_tokens
        return encoder.pooling(encoder.inference.run(ids, packing), packing, skipped, options.normalize)

    with evaluating(encoder), progress.over(total, unit) as advance:
        for done in computed_batches(run, sources(), budget=options.batch_tokens, transfers=transfers):
            vectors[done.source][done.chosen] = done.values
            advance(len(done.chosen) if unit == "texts" else len(done.rows))
    return _joined([_finished(batch, some, encoder, options) for batch, some in zip(seen, vectors, strict=True)])


def _finished(
    batch: TokenBatch, vectors: Float32[np.ndarray, "sequences hidden"], encoder: "Encoder", options: Options
) -> Embeddings:
    """One vector per text, as long as was asked for."""
    windows = len(vectors) != len(batch.input_tokens)
    if windows:
        vectors = _join_windows(vectors, batch)
    if options.dimensions is not None:
        vectors = np.ascontiguousarray(vectors[:, : options.dimensions])
    if options.normalize and (windows or options.dimensions is not None or not encoder.pooling_spec.normalize):
        vectors = _unit(vectors)
    return Embeddings(
        vectors=vectors,
        input_tokens=batch.input_tokens,
        used_tokens=batch.used_tokens,
        truncated=batch.truncated,
    )


def _joined(parts: list[Embeddings]) -> Embeddings:
    if len(parts) == 1:
        return parts[0]
    return Embeddings(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _join_windows(
    vectors: Float32[np.ndarray, "sequences dimensions"], batch: TokenBatch
) -> Float32[np.ndarray, "texts dimensions"]:
    """One vector per text: the mean of its windows' vectors, each weighted by its tokens."""
    num_texts = len(batch.input_tokens)
    weights = np.diff(batch.boundaries).astype(np.float64)
    total = np.zeros((num_texts, vectors.shape[1]), dtype=np.float64)
    np.add.at(total, batch.text_index, vectors * weights[:, None])
    return (total / np.bincount(batch.text_index, weights, num_texts)[:, None]).astype(np.float32)


def _unit(vectors: Float32[np.ndarray, "texts dimensions"]) -> Float32[np.ndarray, "texts dimensions"]:
    """Divided by their Euclidean length; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _merge(texts: list[str], found: dict[str, Any], wanted: list[str], computed: Embeddings) -> Embeddings:
    """Cached and computed rows together, in the order of `texts`."""
    rows = {text: row for row, text in enumerate(wanted)}
    vectors = [found[text].vector if text in found else computed.vectors[rows[text]] for text in texts]
    counts = [
        (found[text].input_tokens, found[text].used_tokens, found[text].truncated)
        if text in found
        else (computed.input_tokens[rows[text]], computed.used_tokens[rows[text]], computed.truncated[rows[text]])
        for text in texts
    ]
    return Embeddings(
        vectors=np.array(vectors, dtype=np.float32).reshape(len(texts), computed.vectors.shape[1]),
        input_tokens=np.array([count[0] for count in counts], dtype=np.int64),
        used_tokens=np.array([count[1] for count in counts], dtype=np.int64),
        truncated=np.array([count[2] for count in counts], dtype=np.bool_),
    )


def _pick(embeddings: Embeddings, rows: list[int]) -> Embeddings:
    return replace(embeddings, **{name: column[rows] for name, column in vars(embeddings).items()})


def _refuse_non_finite(vectors: Float32[np.ndarray, "texts dimensions"]) -> None:
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise NonFiniteOutput(np.flatnonzero(broken).tolist())
