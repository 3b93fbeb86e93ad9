"""EuroBERT ([Boizard 2025]): the blocks of Llama, seeing both ways.

Beside BERT: rotary positions; pre-norm with RMSNorm and a final norm, none on the embeddings; SwiGLU; fewer key/value
heads than query heads; no biases, no token types, and no dropout but that of the attention weights.

[Boizard 2025]: https://arxiv.org/abs/2503.05500
"""

from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.config import Config
from vitrail.families.family import PUBLISHED_ACTIVATIONS, Family, activation
from vitrail.families.heads import (
    LINEAR_CLASSIFIER,
    MASKED,
    SEQUENCE,
    TOKENS,
    PublishedHead,
    linear_head,
    write_nothing,
    write_tying,
)
from vitrail.families.rope import read_positions, written_positions
from vitrail.layers.head import HeadSpec
from vitrail.models.spec import DropoutSpec, EncoderSpec


def read_eurobert(config: Config) -> EncoderSpec:
    config.only("hidden_dropout", 0.0)
    config.only("pretraining_tp", 1)
    config.skip("bos_token", "classifier_pooling", "clf_pooling", "eos_token", "mask_token", "mask_token_id")
    config.skip("pad_token")
    hidden_size, num_layers, num_heads = (
        config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    head_dim = config.get("head_dim", hidden_size // num_heads)
    return EncoderSpec(
        vocab_size=config["vocab_size"],
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=config.get("num_key_value_heads", num_heads),
        head_dim=head_dim,
        intermediate_size=config["intermediate_size"],
        num_token_types=0,
        padding_id=config.nullable("pad_token_id", 128001),
        positions=(read_positions(config, default_base=10000.0, head_dim=head_dim, num_layers=num_layers),),
        causal=False,
        windows=(None,) * num_layers,
        shared_layers=tuple(range(num_layers)),
        activation=activation(config, "hidden_act"),
        gated=True,
        normalization="rms_norm",
        norm_epsilon=config.get("rms_norm_eps", 1e-5),
        norm_bias=False,
        pre_norm=True,
        embedding_norm=False,
        first_attention_norm=True,
        final_norm=True,
        attention_bias=config.get("attention_bias", False),
        attention_output_bias=config.get("attention_bias", False),
        up_bias=config.get("mlp_bias", False),
        down_bias=config.get("mlp_bias", False),
        embedding_scale=1.0,
        dropout=DropoutSpec(
            embeddings=0.0,
            attention_weights=config.get("attention_dropout", 0.0),
            attention_output=0.0,
            activation=0.0,
            feed_forward_output=0.0,
            relation=0.0,
        ),
        initializer_range=config.get("initializer_range", 0.02),
    )


def write_eurobert(spec: EncoderSpec) -> dict[str, Any]:
    return written_positions(spec) | {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "hidden_act": PUBLISHED_ACTIVATIONS[spec.activation],
        "rms_norm_eps": spec.norm_epsilon,
        "attention_bias": spec.attention_bias,
        "mlp_bias": spec.up_bias,
        "attention_dropout": spec.dropout.attention_weights,
        "initializer_range": spec.initializer_range,
        "pad_token_id": spec.padding_id,
    }


# The reference library's word for the first token.
FIRST = "bos"


def read_sequence_head(config: Config, spec: EncoderSpec) -> HeadSpec:
    pooling = config.get("classifier_pooling", config.get("clf_pooling", "late"))
    return HeadSpec(
        outputs=1,
        pooling="cls" if pooling == FIRST else pooling,
        dense_size=spec.hidden_size,
        activation="gelu",
    )


def write_sequence_head(head: HeadSpec) -> dict[str, Any]:
    return {"classifier_pooling": FIRST if head.pooling == "cls" else head.pooling}


def read_masked_head(config: Config, spec: EncoderSpec) -> HeadSpec:
    return HeadSpec(outputs=1, output_bias=spec.up_bias, tied=config.get("tie_word_embeddings", False))


FAMILY = Family(
    model_types=("eurobert",),
    architecture="EuroBertModel",
    read=read_eurobert,
    write=write_eurobert,
    weights=(
        WeightMap(
            prefix="model.",
            table={
                "embed_tokens": "embeddings.tokens",
                "layers.{}.input_layernorm": "layers.{}.attention_norm",
                "layers.{}.self_attn.q_proj": "layers.{}.attention.query",
                "layers.{}.self_attn.k_proj": "layers.{}.attention.key",
                "layers.{}.self_attn.v_proj": "layers.{}.attention.value",
                "layers.{}.self_attn.o_proj": "layers.{}.attention.output",
                "layers.{}.post_attention_layernorm": "layers.{}.feed_forward_norm",
                "layers.{}.mlp.gate_proj": "layers.{}.feed_forward.gate",
                "layers.{}.mlp.up_proj": "layers.{}.feed_forward.up",
                "layers.{}.mlp.down_proj": "layers.{}.feed_forward.down",
                "norm": "final_norm",
            },
            heads=("lm_head.", "dense.", "classifier."),
        ),
    ),
    heads={
        SEQUENCE: PublishedHead(
            architecture="EuroBertForSequenceClassification",
            read=read_sequence_head,
            write=write_sequence_head,
            tables=({"dense": "dense", **LINEAR_CLASSIFIER},),
        ),
        TOKENS: PublishedHead(
            architecture="EuroBertForTokenClassification",
            read=linear_head(),
            write=write_nothing,
            tables=(LINEAR_CLASSIFIER,),
        ),
        MASKED: PublishedHead(
            architecture="EuroBertForMaskedLM",
            read=read_masked_head,
            write=write_tying,
            tables=({"lm_head": "output"},),
        ),
    },
    known_code=("modeling_eurobert.EuroBertModel",),
)
