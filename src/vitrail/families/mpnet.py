"""MPNet ([Song 2020]): BERT whose masked tokens see each other's places in training.

Beside BERT: no token types; learned positions by ids that are not padding, as in RoBERTa, and a bucketed bias on
distances besides. The reference code has its padding id 1, its 32 buckets and their reach of 128 written in, whatever
config.json says.

[Song 2020]: https://arxiv.org/abs/2004.09297
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.bert import BERT_BUFFERS, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import (
    LM_HEAD,
    OUT_PROJECTION,
    PublishedHead,
    bert_heads,
    hidden_dropout,
    masked_head,
    pooled_head,
    write_nothing,
    write_tying,
)
from vitrail.models.positions import LearnedPositions, RelativeBiasPositions
from vitrail.models.spec import EncoderSpec

PADDING_ID = 1
NUM_BUCKETS = 32
MAX_DISTANCE = 128


def read_mpnet(config: Config) -> EncoderSpec:
    encoder_only(config)
    config.only("relative_attention_num_buckets", NUM_BUCKETS)
    positions = (
        LearnedPositions(max_positions=config["max_position_embeddings"], padding_id=PADDING_ID),
        RelativeBiasPositions(num_buckets=NUM_BUCKETS, max_distance=MAX_DISTANCE),
    )
    return replace(bert_spec(config, positions=positions, num_token_types=0), padding_id=PADDING_ID)


def write_mpnet(spec: EncoderSpec) -> dict[str, Any]:
    written = write_bert(spec)
    del written["type_vocab_size"]
    return written | {"relative_attention_num_buckets": NUM_BUCKETS}


FAMILY = Family(
    model_types=("mpnet",),
    architecture="MPNetModel",
    read=read_mpnet,
    write=write_mpnet,
    weights=(
        WeightMap(
            prefix="mpnet.",
            table={
                "embeddings.word_embeddings": "embeddings.tokens",
                "embeddings.position_embeddings": "embeddings.positions.table",
                "embeddings.LayerNorm": "embeddings.normalization",
                "encoder.relative_attention_bias": "relation.table",
                "encoder.layer.{}.attention.attn.q": "layers.{}.attention.query",
                "encoder.layer.{}.attention.attn.k": "layers.{}.attention.key",
                "encoder.layer.{}.attention.attn.v": "layers.{}.attention.value",
                "encoder.layer.{}.attention.attn.o": "layers.{}.attention.output",
                "encoder.layer.{}.attention.LayerNorm": "layers.{}.attention_norm",
                "encoder.layer.{}.intermediate.dense": "layers.{}.feed_forward.up",
                "encoder.layer.{}.output.dense": "layers.{}.feed_forward.down",
                "encoder.layer.{}.output.LayerNorm": "layers.{}.feed_forward_norm",
            },
            ignored=BERT_BUFFERS,
            heads=("pooler.", "lm_head.", "classifier.", "qa_outputs."),
        ),
    ),
    heads=bert_heads(
        "MPNet",
        sequence=PublishedHead(
            architecture="MPNetForSequenceClassification",
            read=pooled_head("tanh", dropout=hidden_dropout, input_dropout=hidden_dropout),
            write=write_nothing,
            tables=(OUT_PROJECTION,),
        ),
        masked=PublishedHead(
            architecture="MPNetForMaskedLM", read=masked_head("gelu"), write=write_tying, tables=(LM_HEAD,)
        ),
        tokens_dropout=hidden_dropout,
        write_tokens_dropout=write_nothing,
    ),
)
