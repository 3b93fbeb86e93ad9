"""DeBERTa v2 and v3 ([He 2020], [He 2021]): distances between tokens have vectors that meet content in every layer.

Beside BERT: disentangled positions, shared by the layers and bucketed; often no positions in the embeddings and no
token types. v3 differs from v2 in its training only. The xlarge v2 models have a convolution beside their first layer,
which vitrail does not compute.

[He 2020]: https://arxiv.org/abs/2006.03654
[He 2021]: https://arxiv.org/abs/2111.09543
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.bert import BERT_BUFFERS, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import ACTIVATION_NAMES, PUBLISHED_ACTIVATIONS, Family
from vitrail.families.heads import (
    LINEAR_CLASSIFIER,
    PublishedHead,
    bert_heads,
    dropout_option,
    hidden_dropout,
    masked_head,
    pooled_head,
    write_nothing,
    write_tying,
)
from vitrail.layers.head import HeadSpec
from vitrail.models.positions import DisentangledPositions, LearnedPositions, PositionScheme
from vitrail.models.spec import EncoderSpec

TERMS = ("c2p", "p2c")


def read_deberta_v2(config: Config) -> EncoderSpec:
    encoder_only(config)
    config.only("conv_kernel_size", 0)
    config.only("embedding_size", config["hidden_size"])
    config.only("attention_head_size", config["hidden_size"] // config["num_attention_heads"])
    config.skip(
        "cls_dropout", "conv_act", "conv_groups", "legacy", "pooler_dropout", "pooler_hidden_act", "pooler_hidden_size"
    )
    max_positions = config["max_position_embeddings"]
    positions: list[PositionScheme] = []
    if config.get("position_biased_input", True):
        positions.append(LearnedPositions(max_positions=max_positions, padding_id=None))
    distances = _distances(config, max_positions)
    if distances is not None:
        positions.append(distances)
    spec = bert_spec(config, positions=tuple(positions), num_token_types=config.get("type_vocab_size", 0))
    return replace(
        spec,
        norm_epsilon=config.get("layer_norm_eps", 1e-7),
        dropout=replace(spec.dropout, relation=spec.dropout.embeddings if distances else 0.0),
    )


def _distances(config: Config, max_positions: int) -> DisentangledPositions | None:
    terms = config.get("pos_att_type", ())
    terms = {term.strip().lower() for term in (terms.split("|") if isinstance(terms, str) else terms)} - {""}
    relative = config.get("relative_attention", False)
    if terms - set(TERMS) or relative != bool(terms):
        raise UnsupportedModel(
            f"config.json of this {config.model_type} model sets relative_attention to {relative} and pos_att_type to "
            f"{sorted(terms)}; vitrail supports true with {' and/or '.join(TERMS)}, or false with none"
        )
    reach, buckets = config.get("max_relative_positions", -1), config.get("position_buckets", -1)
    norms = {norm.strip().lower() for norm in config.get("norm_rel_ebd", "none").split("|")}
    shared = config.get("share_att_key", False)
    if not terms:
        return None
    return DisentangledPositions(
        num_buckets=buckets if buckets > 0 else None,
        max_distance=reach if reach > 0 else max_positions,
        content_to_position="c2p" in terms,
        position_to_content="p2c" in terms,
        shared_projections=shared,
        normalized="layer_norm" in norms,
    )


def write_deberta_v2(spec: EncoderSpec) -> dict[str, Any]:
    written = write_bert(spec) | {"position_biased_input": isinstance(spec.added, LearnedPositions)}
    scheme = spec.relation
    if not isinstance(scheme, DisentangledPositions):
        return written | {"relative_attention": False}
    chosen = zip(TERMS, (scheme.content_to_position, scheme.position_to_content), strict=True)
    return (
        {"max_position_embeddings": scheme.max_distance}
        | written
        | {
            "relative_attention": True,
            "pos_att_type": [term for term, present in chosen if present],
            "max_relative_positions": scheme.max_distance,
            "position_buckets": scheme.num_buckets or -1,
            "share_att_key": scheme.shared_projections,
            "norm_rel_ebd": "layer_norm" if scheme.normalized else "none",
        }
    )


# A pooler may be as narrow as it likes in the reference library, but reads hidden states of their full size.
_POOLED = pooled_head(
    "gelu", dropout=dropout_option("cls_dropout"), input_dropout=dropout_option("pooler_dropout", default=0.0)
)
_PREDICTIONS = {
    "cls.predictions.transform.dense": "dense",
    "cls.predictions.transform.LayerNorm": "norm",
    "cls.predictions.decoder": "output",
    "cls.predictions.bias": "output.bias",
}


def read_sequence_head(config: Config, spec: EncoderSpec) -> HeadSpec:
    config.only("pooler_hidden_size", spec.hidden_size)
    function = config.get("pooler_hidden_act", "gelu")
    return replace(_POOLED(config, spec), activation=ACTIVATION_NAMES.get(function, function))


def write_sequence_head(head: HeadSpec) -> dict[str, Any]:
    function = head.activation or "gelu"
    return {
        "cls_dropout": head.dropout,
        "pooler_dropout": head.input_dropout,
        "pooler_hidden_act": PUBLISHED_ACTIVATIONS.get(function, function),
        "pooler_hidden_size": head.dense_size,
    }


FAMILY = Family(
    model_types=("deberta-v2",),
    architecture="DebertaV2Model",
    read=read_deberta_v2,
    write=write_deberta_v2,
    weights=(
        WeightMap(
            prefix="deberta.",
            table={
                "embeddings.word_embeddings": "embeddings.tokens",
                "embeddings.position_embeddings": "embeddings.positions.table",
                "embeddings.token_type_embeddings": "embeddings.token_types",
                "embeddings.LayerNorm": "embeddings.normalization",
                "encoder.rel_embeddings": "relation.table",
                "encoder.LayerNorm": "relation.normalization",
                "encoder.layer.{}.attention.self.query_proj": "layers.{}.attention.query",
                "encoder.layer.{}.attention.self.key_proj": "layers.{}.attention.key",
                "encoder.layer.{}.attention.self.value_proj": "layers.{}.attention.value",
                "encoder.layer.{}.attention.self.pos_key_proj": "layers.{}.attention.relative_key",
                "encoder.layer.{}.attention.self.pos_query_proj": "layers.{}.attention.relative_query",
                "encoder.layer.{}.attention.output.dense": "layers.{}.attention.output",
                "encoder.layer.{}.attention.output.LayerNorm": "layers.{}.attention_norm",
                "encoder.layer.{}.intermediate.dense": "layers.{}.feed_forward.up",
                "encoder.layer.{}.output.dense": "layers.{}.feed_forward.down",
                "encoder.layer.{}.output.LayerNorm": "layers.{}.feed_forward_norm",
            },
            ignored=BERT_BUFFERS,
            # v3 checkpoints keep a table of positions that position_biased_input = false leaves unread
            heads=(
                "embeddings.position_embeddings.",
                "pooler.",
                "cls.",
                "lm_predictions.",
                "mask_predictions.",
                "classifier.",
                "qa_outputs.",
            ),
        ),
    ),
    heads=bert_heads(
        "DebertaV2",
        sequence=PublishedHead(
            architecture="DebertaV2ForSequenceClassification",
            read=read_sequence_head,
            write=write_sequence_head,
            tables=({"pooler.dense": "dense", **LINEAR_CLASSIFIER},),
        ),
        masked=PublishedHead(
            architecture="DebertaV2ForMaskedLM",
            read=masked_head(),
            write=write_tying,
            tables=(
                _PREDICTIONS,
                {
                    "lm_predictions.lm_head.dense": "dense",
                    "lm_predictions.lm_head.LayerNorm": "norm",
                    "lm_predictions.lm_head": "output",
                },
            ),
        ),
        tokens_dropout=hidden_dropout,
        write_tokens_dropout=write_nothing,
    ),
)
