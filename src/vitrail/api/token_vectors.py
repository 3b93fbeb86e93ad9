"""Every token's vector, beside the characters it comes from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitrail.api.batches import Source, computed_batches
from vitrail.api.choices import checked_texts
from vitrail.api.embeddings import Tokens
from vitrail.backends.inference import evaluating
from vitrail.backends.transfers import transfers_for
from vitrail.errors import NonFiniteOutput
from vitrail.tokenization import merge_windows

if TYPE_CHECKING:
    from vitrail.api.embedding import Overlong
    from vitrail.api.encoder import Encoder

# Tokens shared by neighbouring windows of a long text: each token is read in the window that shows most of its context.
_STRIDE_SHARE = 4


def embed_tokens(encoder: "Encoder", texts: Sequence[str], *, overlong: "Overlong") -> list[Tokens]:
    texts = checked_texts(texts)
    tokenizer = encoder.need_tokenizer()
    room = None if encoder.max_length is None else encoder.max_length - tokenizer.num_special()
    stride = room // _STRIDE_SHARE if overlong == "window" and room is not None else 0
    placed = tokenizer.tokens(texts, max_length=encoder.max_length, overlong=overlong, stride=stride)
    batch = tokenizer.encode(texts, max_length=encoder.max_length, overlong=overlong, stride=stride)
    vectors = np.zeros((len(batch.ids), encoder.hidden_size), dtype=np.float32)
    source = Source(ids=batch.ids, boundaries=batch.boundaries)
    transfers, budget = transfers_for(encoder.device), encoder.inference.usual_batch_tokens
    with evaluating(encoder):
        for done in computed_batches(encoder.inference.run, [source], budget=budget, transfers=transfers):
            vectors[done.rows] = done.values
    merged = merge_windows(batch, vectors)
    broken = [row for row, text in enumerate(merged) if not np.isfinite(text).all()]
    if broken:
        raise NonFiniteOutput(broken)
    return [
        Tokens(ids=text.ids, vectors=values, offsets=text.offsets, special=text.special, truncated=text.truncated)
        for text, values in zip(placed, merged, strict=True)
    ]
