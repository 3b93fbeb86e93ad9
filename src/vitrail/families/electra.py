"""ELECTRA ([Clark 2020]): BERT trained to tell replaced tokens from original ones.

Beside BERT: the small models have embeddings narrower than their layers, and a projection between.

[Clark 2020]: https://arxiv.org/abs/2003.10555
"""

from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.bert import BERT_BUFFERS, BERT_TABLE, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import (
    CLASSIFIER_DROPOUT,
    OUT_PROJECTION,
    PublishedHead,
    bert_heads,
    masked_head,
    pooled_head,
    write_dropout,
    write_tying,
)
from vitrail.models.positions import LearnedPositions
from vitrail.models.spec import EncoderSpec


def read_electra(config: Config) -> EncoderSpec:
    encoder_only(config)
    config.skip("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj")
    positions = LearnedPositions(max_positions=config["max_position_embeddings"], padding_id=None)
    return bert_spec(config, positions=(positions,), embedding_size=config.get("embedding_size", 128))


def write_electra(spec: EncoderSpec) -> dict[str, Any]:
    return write_bert(spec) | {"embedding_size": spec.embedding_size}


FAMILY = Family(
    model_types=("electra",),
    architecture="ElectraModel",
    read=read_electra,
    write=write_electra,
    weights=(
        WeightMap(
            prefix="electra.",
            table=BERT_TABLE | {"embeddings_project": "embeddings.projection"},
            ignored=BERT_BUFFERS,
            heads=(
                "discriminator_predictions.",
                "generator_predictions.",
                "generator_lm_head.",
                "sequence_summary.",
                "classifier.",
                "qa_outputs.",
            ),
        ),
    ),
    heads=bert_heads(
        "Electra",
        sequence=PublishedHead(
            architecture="ElectraForSequenceClassification",
            read=pooled_head("gelu", dropout=CLASSIFIER_DROPOUT, input_dropout=CLASSIFIER_DROPOUT),
            write=write_dropout("classifier_dropout"),
            tables=(OUT_PROJECTION,),
        ),
        masked=PublishedHead(
            architecture="ElectraForMaskedLM",
            read=masked_head("gelu"),
            write=write_tying,
            tables=(
                {
                    "generator_predictions.dense": "dense",
                    "generator_predictions.LayerNorm": "norm",
                    "generator_lm_head": "output",
                },
            ),
        ),
    ),
)
