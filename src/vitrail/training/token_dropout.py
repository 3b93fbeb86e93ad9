"""Tokens hidden from the model while it trains, so that no answer hangs on a single word (word dropout, [Dai 2015]).

Which ones is drawn for each row anew in every epoch. Evaluations hide nothing.

[Dai 2015]: https://arxiv.org/abs/1511.01432
"""

from dataclasses import dataclass, replace

import numpy as np

from vitrail.errors import TokenizerError
from vitrail.tasks import Example
from vitrail.tokenization import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenDropout:
    """probability: of each token that is no special one. hidden_id: what stands in its place: the mask token, or the
    unknown one of a tokenizer that has no mask.
    """

    probability: float
    hidden_id: int
    special_ids: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer, probability: float) -> "TokenDropout":
        hidden_id = tokenizer.unknown_id if tokenizer.mask_id is None else tokenizer.mask_id
        if hidden_id is None:
            raise TokenizerError(
                "the tokenizer has neither a mask token nor an unknown one; set training.token_dropout: 0"
            )
        return cls(probability=probability, hidden_id=hidden_id, special_ids=tuple(sorted(tokenizer.special_ids)))

    def hide(self, example: Example, generator: np.random.Generator) -> Example:
        """The example with some of its tokens hidden; those left, and all places, are as they were."""
        sequences = []
        for ids in example.sequences:
            hidden = (generator.random(len(ids)) < self.probability) & ~np.isin(ids, self.special_ids)
            sequences.append(np.where(hidden, self.hidden_id, ids))
        return replace(example, sequences=tuple(sequences))
