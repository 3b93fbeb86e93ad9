"""What a person wants to know of an encoder before using it, as plain data (what `vitrail inspect --json` prints).

    name, source, revision, folder, family, weights_sha256
    spec             as vitrail's own format writes it; with max_length (tokens a text is cut to) beside it
    parameters       embeddings, attention, feed_forward, norms, relation, pooling, total (counts)
    multiply_adds    texts: a list, for one text of each length: length, embeddings, projections, scores_and_mixing,
                     distances, feed_forward, total; balance_length: at which scores and mixing equal the linear layers
                     (projections and feed-forward), or null
    memory           weights_bytes, batch_tokens, activations_bytes (an estimate; models/arithmetic.py has its formula)
    tokenizer        kind, vocab_size, special_tokens (around one text), max_length, runtime; or null
    pooling          modes, include_prompt, projections, normalize, dimensions, similarity
    prompts          text by name; with default_prompt (a name, or null) beside it
    runtime          what will run on this machine
    unused_tensors   of the checkpoint, that belong to a head
    ignored_options  of config.json, that vitrail knows nothing of

Keys are only ever added. Counts are exact, and come from the spec; what the model really holds is compared with them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vitrail.api.encoder import Encoder
from vitrail.families.own import write_own
from vitrail.models.arithmetic import activation_values, balance_length, count_parameters, count_work

USUAL_LENGTHS = (16, 128, 512)


def facts_of(encoder: Encoder, *, lengths: Sequence[int] = ()) -> dict[str, Any]:
    """The facts above, but those of where the model was found (source, folder). `lengths` empty: the usual ones."""
    spec = encoder.spec
    parameters = count_parameters(spec, encoder.pooling_spec)
    held = sum(parameter.numel() for parameter in encoder.parameters())
    assert parameters.total == held, f"the spec counts {parameters.total} parameters, the model holds {held}"
    value_bytes = next(encoder.parameters()).element_size()
    batch_tokens = encoder.inference.usual_batch_tokens
    works = [(length, count_work(spec, length)) for length in chosen_lengths(encoder, lengths)]
    return {
        "name": encoder.name,
        "revision": encoder.revision,
        "family": encoder.family.model_types[0],
        "weights_sha256": encoder.weights_sha256,
        "spec": write_own(spec)["spec"],
        "max_length": encoder.max_length,
        "parameters": vars(parameters) | {"total": parameters.total},
        "multiply_adds": {
            "texts": [{"length": length} | vars(work) | {"total": work.total} for length, work in works],
            "balance_length": balance_length(spec),
        },
        "memory": {
            "weights_bytes": sum(each.numel() * each.element_size() for each in encoder.parameters()),
            "batch_tokens": batch_tokens,
            "activations_bytes": value_bytes * activation_values(spec, batch_tokens),
        },
        "tokenizer": _tokenizer(encoder),
        "pooling": asdict(encoder.pooling_spec)
        | {"dimensions": encoder.dimensions, "similarity": encoder.similarity_name},
        "prompts": encoder.prompts,
        "default_prompt": encoder.default_prompt,
        "runtime": encoder.runtime,
        "unused_tensors": list(encoder.unused_tensors),
        "ignored_options": list(encoder.ignored_options),
    }


def chosen_lengths(encoder: Encoder, lengths: Sequence[int]) -> list[int]:
    """The lengths asked for, each once; else the usual ones, none past what a text is cut to."""
    if not lengths:
        return sorted({min(length, encoder.max_length or length) for length in USUAL_LENGTHS})
    most = encoder.spec.max_length
    for length in lengths:
        if length < 1 or (most is not None and length > most):
            allowed = "at least 1" if most is None else f"from 1 to {most}, where the positions of this model end"
            raise ValueError(f"length must be {allowed}, got {length}")
    return sorted(set(lengths))


def _tokenizer(encoder: Encoder) -> dict[str, Any] | None:
    tokenizer = encoder.tokenizer
    if tokenizer is None:
        return None
    return {
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "special_tokens": tokenizer.num_special(),
        "max_length": tokenizer.max_length,
        "runtime": tokenizer.runtime,
    }
