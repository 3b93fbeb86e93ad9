"""BERT ([Devlin 2018]): learned positions by column, token types, post-norm, GELU. The shape most later families vary.

[Devlin 2018]: https://arxiv.org/abs/1810.04805
"""

from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.config import Config
from vitrail.families.family import PUBLISHED_ACTIVATIONS, Family, activation
from vitrail.families.heads import bert_heads
from vitrail.models.positions import LearnedPositions, PositionScheme
from vitrail.models.spec import DropoutSpec, EncoderSpec


def read_bert(config: Config) -> EncoderSpec:
    encoder_only(config)
    positions = LearnedPositions(max_positions=config["max_position_embeddings"], padding_id=None)
    return bert_spec(config, positions=(positions,))


def encoder_only(config: Config) -> None:
    """Refuse the variants that the reference library's classes of BERT's shape can be switched to."""
    config.only("position_embedding_type", "absolute")
    config.only("is_decoder", False)
    config.only("add_cross_attention", False)
    config.skip("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head")
    config.skip("pooler_type", "directionality", "chunk_size_feed_forward")


def bert_spec(
    config: Config,
    *,
    positions: tuple[PositionScheme, ...],
    num_token_types: int | None = None,
    embedding_size: int | None = None,
    default_padding_id: int | None = 0,
    function: str | None = None,
) -> EncoderSpec:
    """The spec of a family that differs from BERT in its positions, token types, embedding size or nonlinearity only;
    others start from it.
    """
    hidden_size, num_layers, num_heads = (
        config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    if hidden_size % num_heads:
        raise UnsupportedModel(f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_heads}")
    hidden_dropout = config.get("hidden_dropout_prob", 0.1)
    return EncoderSpec(
        vocab_size=config["vocab_size"],
        hidden_size=hidden_size,
        embedding_size=embedding_size or hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=hidden_size // num_heads,
        intermediate_size=config["intermediate_size"],
        num_token_types=config.get("type_vocab_size", 2) if num_token_types is None else num_token_types,
        padding_id=config.nullable("pad_token_id", default_padding_id),
        positions=positions,
        causal=False,
        windows=(None,) * num_layers,
        shared_layers=tuple(range(num_layers)),
        activation=function or activation(config, "hidden_act"),
        gated=False,
        normalization="layer_norm",
        norm_epsilon=config.get("layer_norm_eps", 1e-12),
        norm_bias=True,
        pre_norm=False,
        embedding_norm=True,
        first_attention_norm=True,
        final_norm=False,
        attention_bias=True,
        attention_output_bias=True,
        up_bias=True,
        down_bias=True,
        embedding_scale=1.0,
        dropout=DropoutSpec(
            embeddings=hidden_dropout,
            attention_weights=config.get("attention_probs_dropout_prob", 0.1),
            attention_output=hidden_dropout,
            activation=0.0,
            feed_forward_output=hidden_dropout,
            relation=0.0,
        ),
        initializer_range=config.get("initializer_range", 0.02),
    )


def write_bert(spec: EncoderSpec) -> dict[str, Any]:
    """The options that BERT and the families of its shape share."""
    options = {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.intermediate_size,
        "hidden_act": PUBLISHED_ACTIVATIONS[spec.activation],
        "type_vocab_size": spec.num_token_types,
        "layer_norm_eps": spec.norm_epsilon,
        "hidden_dropout_prob": spec.dropout.embeddings,
        "attention_probs_dropout_prob": spec.dropout.attention_weights,
        "initializer_range": spec.initializer_range,
        "pad_token_id": spec.padding_id,
    }
    if isinstance(spec.added, LearnedPositions):
        options["max_position_embeddings"] = spec.added.max_positions
    return options


BERT_TABLE = {
    "embeddings.word_embeddings": "embeddings.tokens",
    "embeddings.position_embeddings": "embeddings.positions.table",
    "embeddings.token_type_embeddings": "embeddings.token_types",
    "embeddings.LayerNorm": "embeddings.normalization",
    "encoder.layer.{}.attention.self.query": "layers.{}.attention.query",
    "encoder.layer.{}.attention.self.key": "layers.{}.attention.key",
    "encoder.layer.{}.attention.self.value": "layers.{}.attention.value",
    "encoder.layer.{}.attention.output.dense": "layers.{}.attention.output",
    "encoder.layer.{}.attention.output.LayerNorm": "layers.{}.attention_norm",
    "encoder.layer.{}.intermediate.dense": "layers.{}.feed_forward.up",
    "encoder.layer.{}.output.dense": "layers.{}.feed_forward.down",
    "encoder.layer.{}.output.LayerNorm": "layers.{}.feed_forward_norm",
}

# Buffers of old checkpoints, which hold 0, 1, 2, …
BERT_BUFFERS = frozenset({"embeddings.position_ids"})

FAMILY = Family(
    model_types=("bert",),
    architecture="BertModel",
    read=read_bert,
    write=write_bert,
    weights=(
        WeightMap(
            prefix="bert.",
            table=BERT_TABLE,
            ignored=BERT_BUFFERS,
            heads=("pooler.", "cls.", "classifier.", "qa_outputs."),
        ),
    ),
    heads=bert_heads("Bert"),
)
