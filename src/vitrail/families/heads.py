"""Published heads as data: what an option of config.json says about one, and what its tensors are called.

A family has at most one head of each kind. `read` turns the options into a `HeadSpec`, `write` back; what a config
cannot express is found by reading it back, as for encoders.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vitrail.errors import CheckpointError, ExportError
from vitrail.families.config import Config
from vitrail.layers.head import HeadSpec
from vitrail.models.spec import EncoderSpec

SEQUENCE, TOKENS, SPAN, MASKED = "sequence-classification", "token-classification", "question-answering", "fill-mask"
KINDS = (SEQUENCE, TOKENS, SPAN, MASKED)

Read = Callable[[Config, EncoderSpec], HeadSpec]


@dataclass(frozen=True, kw_only=True)
class PublishedHead:
    """architecture: the class of the reference library that opens it.
    read: options and encoder -> spec; its `outputs` are filled in by the caller. write: spec -> options.
    tables: published path -> ours, of every layout it comes in; the first is the one written. An entry may name one
        tensor in full on both sides, also beside the entry of its module: a second name of the same tensor.
    inside: beginnings of published paths that stand in the encoder's part of a checkpoint ("bert.pooler.").
    """

    architecture: str
    read: Read
    write: Callable[[HeadSpec], dict[str, Any]]
    tables: tuple[Mapping[str, str], ...]
    inside: tuple[str, ...] = ()

    def names(self, ours: str, table: Mapping[str, str]) -> tuple[str, ...]:
        """The names under which our parameter may stand in a checkpoint, without the encoder's prefix."""
        path, _, ending = ours.rpartition(".")
        found = [theirs for theirs, mine in table.items() if mine == ours]
        return (*(f"{theirs}.{ending}" for theirs, mine in table.items() if mine == path), *found)

    def layout(self, parameters: Iterable[str], present: Iterable[str]) -> Mapping[str, str]:
        """The table that finds the most of our parameters among the names of a file."""
        ours, there = list(parameters), set(present)
        return max(self.tables, key=lambda table: sum(bool(there & {*self.names(name, table)}) for name in ours))


def head_spec(head: PublishedHead, config: Config, spec: EncoderSpec, *, outputs: int) -> HeadSpec:
    """What a config.json says of a head. Values that make none are the file's fault, and said to be."""
    try:
        return replace(head.read(config, spec), outputs=outputs)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"config.json of this {config.model_type} model describes no head: {error}") from error


def head_options(head: PublishedHead, values: Mapping[str, Any], spec: EncoderSpec, wanted: HeadSpec) -> dict[str, Any]:
    """The options that say `wanted` beside the encoder's own (`values`). ExportError where the format cannot."""
    written = head.write(wanted)
    back = head_spec(head, Config({**values, **written}), spec, outputs=wanted.outputs)
    if back != wanted:
        differing = [name for name in vars(wanted) if getattr(back, name) != getattr(wanted, name)]
        raise ExportError(
            f"the head cannot be saved as {head.architecture}, whose format does not express its "
            f'{", ".join(f"{name} {getattr(wanted, name)!r}" for name in differing)}. Save it as "vitrail" instead'
        )
    return written


Dropout = Callable[[Config, EncoderSpec], float]


def dropout_option(name: str, *, default: float | None = None) -> Dropout:
    """The dropout that an option holds; where the file is silent, `default`, or that of the hidden states (None)."""
    return lambda config, spec: float(config.get(name, spec.dropout.embeddings if default is None else default))


def no_dropout(config: Config, spec: EncoderSpec) -> float:
    return 0.0


def hidden_dropout(config: Config, spec: EncoderSpec) -> float:
    """For heads whose dropout is that of the hidden states, whatever else config.json says."""
    return spec.dropout.embeddings


def linear_head(dropout: Dropout = no_dropout) -> Read:
    """dropout → output, for every token."""
    return lambda config, spec: HeadSpec(outputs=1, dropout=dropout(config, spec))


def pooled_head(activation: str, *, dropout: Dropout, input_dropout: Dropout = no_dropout) -> Read:
    """first token → dropout → dense → activation → dropout → output."""
    return lambda config, spec: HeadSpec(
        outputs=1,
        pooling="cls",
        input_dropout=input_dropout(config, spec),
        dense_size=spec.hidden_size,
        activation=activation,
        dropout=dropout(config, spec),
    )


def masked_head(activation: str | None = None) -> Read:
    """dense → activation → norm → the table of tokens. `activation` None: that of the encoder's layers."""
    return lambda config, spec: HeadSpec(
        outputs=1,
        dense_size=spec.embedding_size,
        activation=activation or spec.activation,
        norm_epsilon=spec.norm_epsilon,
        tied=config.get("tie_word_embeddings", True),
    )


def write_nothing(head: HeadSpec) -> dict[str, Any]:
    return {}


def write_dropout(name: str) -> Callable[[HeadSpec], dict[str, Any]]:
    return lambda head: {name: head.dropout}


def write_tying(head: HeadSpec) -> dict[str, Any]:
    return {"tie_word_embeddings": head.tied}


CLASSIFIER_DROPOUT = dropout_option("classifier_dropout")
WRITE_CLASSIFIER_DROPOUT = write_dropout("classifier_dropout")
LINEAR_CLASSIFIER = {"classifier": "output"}
OUT_PROJECTION = {"classifier.dense": "dense", "classifier.out_proj": "output"}
QA_OUTPUTS = {"qa_outputs": "output"}
LM_HEAD = {
    "lm_head.dense": "dense",
    "lm_head.layer_norm": "norm",
    "lm_head.decoder": "output",
    "lm_head.bias": "output.bias",
}


def bert_heads(
    architecture: str,
    *,
    sequence: PublishedHead | None = None,
    masked: PublishedHead | None = None,
    tokens_dropout: Dropout = CLASSIFIER_DROPOUT,
    write_tokens_dropout: Callable[[HeadSpec], dict[str, Any]] = WRITE_CLASSIFIER_DROPOUT,
    kinds: tuple[str, ...] = KINDS,
) -> dict[str, PublishedHead]:
    """The heads of BERT, the first two to be replaced. `architecture` is what their class names begin with."""
    heads = {
        SEQUENCE: sequence
        or PublishedHead(
            architecture=f"{architecture}ForSequenceClassification",
            read=pooled_head("tanh", dropout=CLASSIFIER_DROPOUT),
            write=write_dropout("classifier_dropout"),
            tables=({"pooler.dense": "dense", **LINEAR_CLASSIFIER},),
            inside=("pooler.",),
        ),
        TOKENS: PublishedHead(
            architecture=f"{architecture}ForTokenClassification",
            read=linear_head(tokens_dropout),
            write=write_tokens_dropout,
            tables=(LINEAR_CLASSIFIER,),
        ),
        SPAN: PublishedHead(
            architecture=f"{architecture}ForQuestionAnswering",
            read=linear_head(),
            write=write_nothing,
            tables=(QA_OUTPUTS,),
        ),
        MASKED: masked
        or PublishedHead(
            architecture=f"{architecture}ForMaskedLM",
            read=masked_head(),
            write=write_tying,
            tables=(
                {
                    "cls.predictions.transform.dense": "dense",
                    "cls.predictions.transform.LayerNorm": "norm",
                    "cls.predictions.decoder": "output",
                    "cls.predictions.bias": "output.bias",
                },
            ),
        ),
    }
    return {kind: heads[kind] for kind in kinds}


def roberta_heads(architecture: str) -> dict[str, PublishedHead]:
    """Beside BERT: the classifier has its own dense layer and drops before it, too; the masked head is plain GELU."""
    return bert_heads(
        architecture,
        sequence=PublishedHead(
            architecture=f"{architecture}ForSequenceClassification",
            read=pooled_head("tanh", dropout=CLASSIFIER_DROPOUT, input_dropout=CLASSIFIER_DROPOUT),
            write=write_dropout("classifier_dropout"),
            tables=(OUT_PROJECTION,),
        ),
        masked=PublishedHead(
            architecture=f"{architecture}ForMaskedLM",
            read=masked_head("gelu"),
            write=write_tying,
            tables=(LM_HEAD,),
        ),
    )
