"""An encoder with more words: a longer table of tokens, and nothing else that it computed before is otherwise.

A new word begins as the mean of the pieces it was read as; so does its part of the masked-language head, so that the
logit of a new word begins as the mean of its pieces' logits.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vitrail.api import Encoder
from vitrail.layers.head import Head, TiedOutput
from vitrail.training.adapt.vocabulary import NewWord, added_to


@torch.no_grad()
def extend(encoder: Encoder, words: Sequence[NewWord]) -> None:
    """Give the encoder's tokenizer, table of tokens and fill-mask head the new words, in place."""
    if not words:
        return
    tokenizer = added_to(encoder.need_tokenizer(), words)
    ids = {each.word: tokenizer.id_of(each.word) for each in words}
    table = encoder.model.embeddings.tokens
    size = max(table.num_embeddings, tokenizer.vocab_size)
    pieces = {id: list(each.pieces) for each in words if (id := ids[each.word]) is not None}
    assert len(pieces) == len(words)
    longer = nn.Embedding(
        size, table.embedding_dim, padding_idx=table.padding_idx, _weight=grown(table.weight, pieces, size)
    )
    encoder.model.embeddings.tokens = longer.train(table.training)
    encoder.model.spec = replace(encoder.model.spec, vocab_size=size)
    encoder.tokenizer = tokenizer
    encoder.inference.forget()
    task = encoder.task
    if task is not None and task.name == "fill-mask" and task.head is not None:
        task.head = longer_head(task.head, encoder.hidden_size, pieces, size)
        encoder.attach(task)


def grown(values: Tensor, pieces: dict[int, list[int]], size: int) -> Tensor:
    """The rows of `values`, and behind them a row for each new id, the mean of its pieces' rows; zeros for no id."""
    longer = values.new_zeros((size, *values.shape[1:]))
    longer[: len(values)] = values
    for id, some in pieces.items():
        longer[id] = values[some].mean(0)
    return longer


def longer_head(head: Head, hidden_size: int, pieces: dict[int, list[int]], size: int) -> Head:
    """The head with an output for each new id."""
    made = Head(replace(head.spec, outputs=size), hidden_size)
    state = head.state_dict()
    for name in ("output.bias",) if isinstance(head.output, TiedOutput) else ("output.weight", "output.bias"):
        if name in state:
            state[name] = grown(state[name], pieces, size)
    made.load_state_dict(state)
    return made.to(next(head.parameters()).device).train(head.training)
