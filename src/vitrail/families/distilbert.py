"""DistilBERT ([Sanh 2019]): BERT at half its depth, learned from BERT itself.

Beside BERT: no token types, no dropout on the output of attention, one fixed ε, and names of its own. Its sinusoidal
positions are only the values a table starts from.

[Sanh 2019]: https://arxiv.org/abs/1910.01108
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.bert import BERT_BUFFERS, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import (
    LINEAR_CLASSIFIER,
    MASKED,
    QA_OUTPUTS,
    SEQUENCE,
    SPAN,
    TOKENS,
    PublishedHead,
    dropout_option,
    hidden_dropout,
    linear_head,
    masked_head,
    pooled_head,
    write_dropout,
    write_nothing,
    write_tying,
)
from vitrail.models.positions import LearnedPositions
from vitrail.models.spec import EncoderSpec

# BERT's names of the options -> this family's
OPTIONS = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}


def read_distilbert(config: Config) -> EncoderSpec:
    encoder_only(config)
    config.also_called(OPTIONS)
    config.skip("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_")
    positions = LearnedPositions(max_positions=config.get("max_position_embeddings", 512), padding_id=None)
    spec = bert_spec(config, positions=(positions,), num_token_types=0)
    return replace(spec, norm_epsilon=1e-12, dropout=replace(spec.dropout, attention_output=0.0))


def write_distilbert(spec: EncoderSpec) -> dict[str, Any]:
    written = write_bert(spec)
    return {OPTIONS.get(name, name): written[name] for name in written.keys() - {"type_vocab_size", "layer_norm_eps"}}


FAMILY = Family(
    model_types=("distilbert",),
    architecture="DistilBertModel",
    read=read_distilbert,
    write=write_distilbert,
    weights=(
        WeightMap(
            prefix="distilbert.",
            table={
                "embeddings.word_embeddings": "embeddings.tokens",
                "embeddings.position_embeddings": "embeddings.positions.table",
                "embeddings.LayerNorm": "embeddings.normalization",
                "transformer.layer.{}.attention.q_lin": "layers.{}.attention.query",
                "transformer.layer.{}.attention.k_lin": "layers.{}.attention.key",
                "transformer.layer.{}.attention.v_lin": "layers.{}.attention.value",
                "transformer.layer.{}.attention.out_lin": "layers.{}.attention.output",
                "transformer.layer.{}.sa_layer_norm": "layers.{}.attention_norm",
                "transformer.layer.{}.ffn.lin1": "layers.{}.feed_forward.up",
                "transformer.layer.{}.ffn.lin2": "layers.{}.feed_forward.down",
                "transformer.layer.{}.output_layer_norm": "layers.{}.feed_forward_norm",
            },
            ignored=BERT_BUFFERS,
            heads=(
                "vocab_transform.",
                "vocab_layer_norm.",
                "vocab_projector.",
                "pre_classifier.",
                "classifier.",
                "qa_outputs.",
            ),
        ),
    ),
    heads={
        SEQUENCE: PublishedHead(
            architecture="DistilBertForSequenceClassification",
            read=pooled_head("relu", dropout=dropout_option("seq_classif_dropout", default=0.2)),
            write=write_dropout("seq_classif_dropout"),
            tables=({"pre_classifier": "dense", **LINEAR_CLASSIFIER},),
        ),
        TOKENS: PublishedHead(
            architecture="DistilBertForTokenClassification",
            read=linear_head(hidden_dropout),
            write=write_nothing,
            tables=(LINEAR_CLASSIFIER,),
        ),
        SPAN: PublishedHead(
            architecture="DistilBertForQuestionAnswering",
            read=linear_head(dropout_option("qa_dropout", default=0.1)),
            write=write_dropout("qa_dropout"),
            tables=(QA_OUTPUTS,),
        ),
        MASKED: PublishedHead(
            architecture="DistilBertForMaskedLM",
            read=masked_head(),
            write=write_tying,
            tables=({"vocab_transform": "dense", "vocab_layer_norm": "norm", "vocab_projector": "output"},),
        ),
    },
)
