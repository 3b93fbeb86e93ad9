"""GTE ([Zhang 2024]): BERT with rotary positions and a gated feed-forward network, published as model_type "new" too.

Its dropout stands before the last product of the feed-forward network as well as after it. Tensors come in the layout
of the publisher's code (query, key and value packed or not), which the reference library also writes, or under that
library's own names.

[Zhang 2024]: https://arxiv.org/abs/2407.19669
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.bert import bert_spec, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import MASKED, SEQUENCE, TOKENS, PublishedHead, bert_heads, masked_head, write_tying
from vitrail.families.rope import read_positions, written_positions
from vitrail.models.spec import EncoderSpec

# What the reference library uses where a file is silent; the files of the publisher are not.
DEFAULT_BASE = 160000.0


def read_gte(config: Config) -> EncoderSpec:
    config.only("position_embedding_type", "rope")
    config.only("logn_attention_scale", False)
    config.only("layer_norm_type", "layer_norm", "rms_norm")
    # the second matters only where the first is on; the rest choose among equal ways to compute
    config.skip(
        "logn_attention_clip1", "matryoshka_dimensions", "pack_qkv", "unpad_inputs", "use_memory_efficient_attention"
    )
    normalization = config.get("layer_norm_type", "layer_norm")
    spec = bert_spec(
        config,
        positions=(),
        num_token_types=config.get("type_vocab_size", 1),
        default_padding_id=None if config.model_type == "new" else 1,
    )
    head_dim = config.get("head_dim", spec.head_dim)
    positions = read_positions(config, default_base=DEFAULT_BASE, head_dim=head_dim, num_layers=spec.num_layers)
    return replace(
        spec,
        head_dim=head_dim,
        positions=(positions,),
        gated=True,
        up_bias=False,
        normalization=normalization,
        norm_bias=normalization == "layer_norm",
        dropout=replace(
            spec.dropout,
            attention_weights=config.get("attention_probs_dropout_prob", 0.0),
            activation=spec.dropout.embeddings,
        ),
    )


def write_gte(spec: EncoderSpec) -> dict[str, Any]:
    written = write_bert(spec) | written_positions(spec)
    if spec.head_dim * spec.num_heads != spec.hidden_size:
        written["head_dim"] = spec.head_dim
    return written


_HEADS = ("pooler.", "lm_head.", "classifier.")
_ATTENTION = ("layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value")
_EMBEDDINGS = {
    "embeddings.word_embeddings": "embeddings.tokens",
    "embeddings.token_type_embeddings": "embeddings.token_types",
    "embeddings.LayerNorm": "embeddings.normalization",
}
_PUBLISHED_TABLE = _EMBEDDINGS | {
    "encoder.layer.{}.attention.o_proj": "layers.{}.attention.output",
    "encoder.layer.{}.attn_ln": "layers.{}.attention_norm",
    "encoder.layer.{}.mlp.down_proj": "layers.{}.feed_forward.down",
    "encoder.layer.{}.mlp_ln": "layers.{}.feed_forward_norm",
}
_UP_GATE = {"encoder.layer.{}.mlp.up_gate_proj": ("layers.{}.feed_forward.up", "layers.{}.feed_forward.gate")}

PACKED = WeightMap(
    prefix="new.",
    table=_PUBLISHED_TABLE,
    stacked=_UP_GATE | {"encoder.layer.{}.attention.qkv_proj": _ATTENTION},
    heads=_HEADS,
)
UNPACKED = WeightMap(
    prefix="new.",
    table=_PUBLISHED_TABLE
    | {f"encoder.layer.{{}}.attention.{name}_proj": ours for name, ours in zip("qkv", _ATTENTION, strict=True)},
    stacked=_UP_GATE,
    heads=_HEADS,
)
CONVERTED = WeightMap(
    prefix="gte.",
    table=_EMBEDDINGS
    | {f"layers.{{}}.self_attn.{name}_proj": ours for name, ours in zip("qkv", _ATTENTION, strict=True)}
    | {
        "layers.{}.self_attn.o_proj": "layers.{}.attention.output",
        "layers.{}.post_attention_layernorm": "layers.{}.attention_norm",
        "layers.{}.mlp.up_proj": "layers.{}.feed_forward.up",
        "layers.{}.mlp.gate_proj": "layers.{}.feed_forward.gate",
        "layers.{}.mlp.down_proj": "layers.{}.feed_forward.down",
        "layers.{}.post_mlp_layernorm": "layers.{}.feed_forward_norm",
    },
    heads=_HEADS,
)

FAMILY = Family(
    model_types=("gte", "new"),
    architecture="GteModel",
    read=read_gte,
    write=write_gte,
    weights=(PACKED, replace(PACKED, prefix="gte."), UNPACKED, CONVERTED),
    heads=bert_heads(
        "Gte",
        masked=PublishedHead(
            architecture="GteForMaskedLM",
            read=masked_head("gelu"),
            write=write_tying,
            tables=tuple(
                {"lm_head.dense": "dense", f"lm_head.{norm}": "norm", "lm_head.decoder": "output"}
                for norm in ("norm", "layer_norm")
            ),
        ),
        kinds=(SEQUENCE, TOKENS, MASKED),
    ),
    known_code=("modeling.NewModel", "modeling_hf_alibaba_nlp_gte.GteModel"),
)
