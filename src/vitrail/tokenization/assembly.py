"""From pools of content ids to a packed batch: which ranges each sequence is made of.

The idea: a sequence is a row of ranges of one pool (special tokens, prompt, content, special tokens), so truncation,
windows and pairs differ only in the numbers, and `gather_ranges` copies all tokens at once.
"""

import numpy as np
from jaxtyping import Int64

from vitrail.tokenization.batch import TokenBatch
from vitrail.tokenization.bounds import Contents
from vitrail.tokenization.template import Template, gather_ranges, longest_first
from vitrail.tokenization.windows import window_spans


def assemble_texts(template: Template, contents: Contents, *, room: int | None, prompt_tokens: int) -> TokenBatch:
    """One sequence a text, cut to `room` content tokens."""
    texts = np.arange(len(contents.lengths))
    kept = contents.lengths if room is None else np.minimum(contents.lengths, room)
    ids, boundaries = _gather_texts(template, contents, texts=texts, starts=0 * texts, lengths=kept, repeated=0 * texts)
    return TokenBatch(
        ids=ids,
        boundaries=boundaries,
        token_type_ids=None,
        text_index=texts,
        window_start=0 * texts,
        input_tokens=contents.lengths + template.num_special,
        used_tokens=kept + template.num_special,
        truncated=contents.cut | (kept < contents.lengths),
        prompt_tokens=prompt_tokens,
    )


def assemble_windows(
    template: Template, contents: Contents, *, room: int, stride: int, repeated: int, prompt_tokens: int
) -> TokenBatch:
    """Windows over each text; the first `repeated` content tokens (the prompt) stand at the head of every window."""
    heads = np.minimum(contents.lengths, repeated)
    bodies = contents.lengths - heads
    spans = [window_spans(body, size=room - repeated, stride=stride) for body in bodies.tolist()]
    texts = np.repeat(np.arange(len(spans)), [len(windows) for windows in spans])
    windows = np.array([window for windows in spans for window in windows], dtype=np.int64).reshape(-1, 2)
    starts, ends = windows.T
    ids, boundaries = _gather_texts(
        template, contents, texts=texts, starts=heads[texts] + starts, lengths=ends - starts, repeated=heads[texts]
    )
    covered = heads + np.array([windows[-1][1] for windows in spans], dtype=np.int64)
    return TokenBatch(
        ids=ids,
        boundaries=boundaries,
        token_type_ids=None,
        text_index=texts,
        window_start=starts,
        input_tokens=contents.lengths + template.num_special,
        used_tokens=covered + template.num_special,
        truncated=contents.cut | (covered < contents.lengths),
        prompt_tokens=prompt_tokens,
        frame=(len(template.pieces[0]) + repeated, len(template.pieces[1])),
    )


def assemble_pairs(
    template: Template, first: Contents, second: Contents, *, room: int | None, prompt_tokens: int
) -> TokenBatch:
    """One sequence a pair, with token types; both texts give way, the longer first."""
    kept = first.lengths, second.lengths
    if room is not None:
        kept = longest_first(*kept, room=room)
    begin, middle, end = (np.full_like(first.starts, len(piece)) for piece in template.pieces)
    offset = len(first.pool) + len(second.pool)
    special = [offset + 0 * begin, offset + begin, offset + begin + middle]
    texts = (first.starts, len(first.pool) + second.starts)
    starts = np.stack([special[0], texts[0], special[1], texts[1], special[2]], axis=1)
    lengths = np.stack([begin, kept[0], middle, kept[1], end], axis=1)
    index = gather_ranges(starts.ravel(), lengths.ravel())
    types = [np.full_like(part.pool, number) for part, number in zip((first, second), template.text_types, strict=True)]
    total = first.lengths + second.lengths + template.num_special
    used = lengths.sum(axis=1)
    return TokenBatch(
        ids=np.concatenate([first.pool, second.pool, *template.pieces])[index],
        boundaries=_boundaries(used),
        token_type_ids=np.concatenate([*types, *template.piece_types])[index],
        text_index=np.arange(len(total)),
        window_start=np.zeros_like(total),
        input_tokens=total,
        used_tokens=used,
        truncated=first.cut | second.cut | (used < total),
        prompt_tokens=prompt_tokens,
    )


def _gather_texts(
    template: Template,
    contents: Contents,
    *,
    texts: Int64[np.ndarray, "sequences"],
    starts: Int64[np.ndarray, "sequences"],
    lengths: Int64[np.ndarray, "sequences"],
    repeated: Int64[np.ndarray, "sequences"],
) -> tuple[Int64[np.ndarray, "tokens"], Int64[np.ndarray, "boundaries"]]:
    """Special tokens, the first `repeated` tokens of the text, `lengths` tokens from `starts`, special tokens."""
    begin, end = (np.full_like(texts, len(piece)) for piece in template.pieces)
    special = len(contents.pool) + 0 * begin
    origin = contents.starts[texts]
    pool_starts = np.stack([special, origin, origin + starts, special + begin], axis=1)
    pool_lengths = np.stack([begin, repeated, lengths, end], axis=1)
    index = gather_ranges(pool_starts.ravel(), pool_lengths.ravel())
    return np.concatenate([contents.pool, *template.pieces])[index], _boundaries(pool_lengths.sum(axis=1))


def _boundaries(lengths: Int64[np.ndarray, "sequences"]) -> Int64[np.ndarray, "boundaries"]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
