"""What a task says of inputs: read in batches of about equal work, by the fastest path there is, given back in order.

Sequences are sorted by length and run packed, as for embedding; the task's head then sees whole examples again. So a
result does not depend on what else was asked, and the native engine runs underneath where it can.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vitrail.api.batches import token_batches, too_large
from vitrail.api.progress import Progress
from vitrail.api.task_of_encoder import stream_of
from vitrail.backends.inference import evaluating
from vitrail.backends.transfers import transfers_for
from vitrail.errors import InputError, NonFiniteOutput
from vitrail.layers.packing import Packing
from vitrail.tasks import Example

if TYPE_CHECKING:
    from vitrail.api.encoder import Encoder

# The head sees so many batches' worth of tokens at once: enough to sort by length, little memory.
_BATCHES_SORTED = 16


def predict(encoder: "Encoder", inputs: Sequence[Any], *, batch_tokens: int, progress: Progress) -> list[Any]:
    """One result per input."""
    task = encoder.need_task()
    examples = task.examples(rows_of(encoder, inputs), encoder.need_tokenizer(), max_length=encoder.max_length)
    results: list[Any] = [None] * len(examples)
    sizes = np.array([example.tokens for example in examples], dtype=np.int64)
    with evaluating(encoder), progress.over(int(sizes.sum())) as advance:
        waiting = deque(token_batches(sizes, _BATCHES_SORTED * batch_tokens))
        while waiting:
            chosen = waiting.popleft()
            tokens = int(sizes[chosen].sum())
            found = _results(encoder, [examples[place] for place in chosen], batch_tokens)
            if found is None:
                if len(chosen) == 1:
                    raise too_large(tokens)
                batch_tokens = max(1, min(batch_tokens, tokens) // 2)
                waiting.extendleft(reversed(np.array_split(chosen, 2)))
                transfers_for(encoder.device).let_go()
                continue
            for place, result in zip(chosen, found, strict=True):
                results[place] = result
            advance(tokens)
    return results


def rows_of(encoder: "Encoder", inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """The inputs as rows, without what is to be predicted: a row may come from data that has it."""
    task = encoder.need_task()
    for row, value in enumerate(inputs):
        if not isinstance(value, str | Mapping | list | tuple):
            raise InputError(f"is {type(value).__name__} {value!r:.40}, neither text nor pair nor row", row=row)
    return [{role: each for role, each in row.items() if role in task.asks} for row in task.rows_of(inputs)]


def _results(encoder: "Encoder", examples: Sequence[Example], batch_tokens: int) -> Sequence[Any] | None:
    """None where the memory is too small. The error is not kept: it would keep what was computed until then."""
    task = encoder.need_task()
    lengths = [len(sequence) for example in examples for sequence in example.sequences]
    try:
        hidden = _hidden(encoder, examples, batch_tokens)
        outputs = task(hidden, Packing.of(lengths, device=encoder.device), examples)
        _refuse_non_finite(outputs, hidden, examples)
        return task.decode(outputs, examples)
    except torch.OutOfMemoryError:
        return None


def _hidden(encoder: "Encoder", examples: Sequence[Example], batch_tokens: int) -> Tensor:
    """The hidden states of all sequences, in their order; computed the longest first."""
    ids, lengths, types = stream_of(examples, encoder.spec.num_token_types)
    sizes = np.array(lengths, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    hidden: Tensor | None = None
    for chosen in token_batches(sizes, batch_tokens):
        packing = Packing.of(sizes[chosen].tolist(), device=encoder.device)
        rows = np.concatenate([np.arange(starts[place], starts[place] + sizes[place]) for place in chosen])
        some = run_packed(encoder, ids[rows], packing, None if types is None else types[rows])
        if hidden is None:
            hidden = some.new_empty(len(ids), some.shape[-1])
        hidden[torch.from_numpy(rows).to(some.device)] = some
    return torch.empty(0, encoder.hidden_size, device=encoder.device) if hidden is None else hidden


def run_packed(
    encoder: "Encoder",
    ids: Int64[np.ndarray, "tokens"],
    packing: Packing,
    types: Int64[np.ndarray, "tokens"] | None,
) -> Tensor:
    """Hidden states, by the fastest path there is; token types that are not all 0 need the model itself."""
    tokens = torch.from_numpy(ids).to(encoder.device)
    if types is None or not types.any():
        return encoder.inference.run(tokens, packing)
    return encoder.model(tokens, packing, torch.from_numpy(types).to(encoder.device))


def _refuse_non_finite(outputs: Tensor, hidden: Tensor, examples: Sequence[Example]) -> None:
    if bool(outputs.isfinite().all()):
        return
    ends = np.cumsum([example.tokens for example in examples])
    finite = hidden.isfinite().all(-1).cpu().numpy()
    broken = [
        example.row for example, end in zip(examples, ends, strict=True) if not finite[end - example.tokens : end].all()
    ]
    raise NonFiniteOutput(broken or [example.row for example in examples])
