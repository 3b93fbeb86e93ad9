"""ALBERT ([Lan 2019]): BERT with few parameters, by narrow embeddings and layers that share their weights.

Beside BERT: the embeddings pass through a projection; consecutive layers form groups, each with one set of weights;
GELU in its tanh form; no dropout on the output of the feed-forward network.

[Lan 2019]: https://arxiv.org/abs/1909.11942
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.bert import BERT_BUFFERS, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import (
    LINEAR_CLASSIFIER,
    PublishedHead,
    bert_heads,
    dropout_option,
    masked_head,
    pooled_head,
    write_dropout,
    write_tying,
)
from vitrail.models.positions import LearnedPositions
from vitrail.models.spec import EncoderSpec


def read_albert(config: Config) -> EncoderSpec:
    encoder_only(config)
    config.only("inner_group_num", 1)
    config.skip("classifier_dropout_prob", "down_scale_factor", "gap_size", "net_structure_type")
    config.skip("num_memory_blocks")
    if config["embedding_size"] == config["hidden_size"]:
        raise UnsupportedModel(
            f"this albert model has embedding_size {config['embedding_size']} equal to its hidden_size, and projects "
            "between them all the same; vitrail projects only where the sizes differ"
        )
    positions = LearnedPositions(max_positions=config["max_position_embeddings"], padding_id=None)
    spec = bert_spec(config, positions=(positions,), embedding_size=config["embedding_size"])
    layers_per_group = spec.num_layers / config.get("num_hidden_groups", 1)
    return replace(
        spec,
        shared_layers=tuple(int(index / layers_per_group) for index in range(spec.num_layers)),
        # the defaults of this family are 0, where BERT's are 0.1
        dropout=replace(
            spec.dropout,
            embeddings=config.get("hidden_dropout_prob", 0.0),
            attention_weights=config.get("attention_probs_dropout_prob", 0.0),
            attention_output=config.get("hidden_dropout_prob", 0.0),
            feed_forward_output=0.0,
        ),
    )


def write_albert(spec: EncoderSpec) -> dict[str, Any]:
    return write_bert(spec) | {
        "embedding_size": spec.embedding_size,
        "num_hidden_groups": len(set(spec.shared_layers)),
        "inner_group_num": 1,
    }


_DROPOUT = dropout_option("classifier_dropout_prob", default=0.1)
_LAYER = "encoder.albert_layer_groups.{}.albert_layers.0"

FAMILY = Family(
    model_types=("albert",),
    architecture="AlbertModel",
    read=read_albert,
    write=write_albert,
    weights=(
        WeightMap(
            prefix="albert.",
            table={
                "embeddings.word_embeddings": "embeddings.tokens",
                "embeddings.position_embeddings": "embeddings.positions.table",
                "embeddings.token_type_embeddings": "embeddings.token_types",
                "embeddings.LayerNorm": "embeddings.normalization",
                "encoder.embedding_hidden_mapping_in": "embeddings.projection",
                f"{_LAYER}.attention.query": "layers.{}.attention.query",
                f"{_LAYER}.attention.key": "layers.{}.attention.key",
                f"{_LAYER}.attention.value": "layers.{}.attention.value",
                f"{_LAYER}.attention.dense": "layers.{}.attention.output",
                f"{_LAYER}.attention.LayerNorm": "layers.{}.attention_norm",
                f"{_LAYER}.ffn": "layers.{}.feed_forward.up",
                f"{_LAYER}.ffn_output": "layers.{}.feed_forward.down",
                f"{_LAYER}.full_layer_layer_norm": "layers.{}.feed_forward_norm",
            },
            ignored=BERT_BUFFERS,
            heads=("pooler.", "predictions.", "sop_classifier.", "classifier.", "qa_outputs."),
        ),
    ),
    heads=bert_heads(
        "Albert",
        sequence=PublishedHead(
            architecture="AlbertForSequenceClassification",
            read=pooled_head("tanh", dropout=_DROPOUT),
            write=write_dropout("classifier_dropout_prob"),
            tables=({"pooler": "dense", **LINEAR_CLASSIFIER},),
            inside=("pooler.",),
        ),
        masked=PublishedHead(
            architecture="AlbertForMaskedLM",
            read=masked_head(),
            write=write_tying,
            tables=(
                {
                    "predictions.dense": "dense",
                    "predictions.LayerNorm": "norm",
                    "predictions.decoder": "output",
                    "predictions.bias": "output.bias",
                },
            ),
        ),
        tokens_dropout=_DROPOUT,
        write_tokens_dropout=write_dropout("classifier_dropout_prob"),
    ),
)
