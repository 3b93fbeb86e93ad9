"""Nomic BERT ([Nussbaum 2024]): BERT with rotary positions, a gated feed-forward network and no biases.

Its published files name their options as GPT-2 does, or as BERT does, or both; its tensors come in the layout of the
publisher's code, which the reference library also writes, or under that library's own names.

[Nussbaum 2024]: https://arxiv.org/abs/2402.01613
"""

from dataclasses import replace
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.families.bert import bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family, activation
from vitrail.families.heads import MASKED, SEQUENCE, TOKENS, PublishedHead, bert_heads, masked_head, write_tying
from vitrail.families.rope import read_positions, written_positions
from vitrail.models.spec import EncoderSpec

# BERT's names of the options -> GPT-2's and the publisher's
OPTIONS = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
    "hidden_dropout_prob": "resid_pdrop",
    "attention_probs_dropout_prob": "attn_pdrop",
    "rope_theta": "rotary_emb_base",
}
# What the publisher's code can be switched to, and vitrail does not compute.
REFUSED = (
    "causal",
    "mlp_fc1_bias",
    "mlp_fc2_bias",
    "parallel_block",
    "prenorm",
    "qkv_proj_bias",
    "rotary_emb_interleaved",
    "scale_attn_by_inverse_layer_idx",
    "use_rms_norm",
)
GATED = {"swiglu": "silu", "geglu": "gelu"}


def read_nomic_bert(config: Config) -> EncoderSpec:
    encoder_only(config)
    for name in REFUSED:
        config.only(name, False)
    config.only("rotary_emb_fraction", 1.0)
    config.only("rotary_emb_scale_base", None)
    config.only("rotary_scaling_factor", None, 1.0)
    config.only("scale_attn_weights", True)
    config.only("num_experts", 0, None)
    config.only("moe_every_n_layers", 0, None)
    config.skip("dense_seq_output", "ffn_div", "fused_bias_fc", "fused_dropout_add_ln", "max_trained_positions")
    config.skip("parallel_block_tied_norm", "reorder_and_upcast_attn", "use_flash_attn", "use_xentropy")
    config.skip("summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type")
    config.skip("summary_use_proj")
    config.also_called(OPTIONS)
    spec = bert_spec(config, positions=(), function=_function(config))
    dropout = config.get("hidden_dropout_prob", 0.0)
    head_dim = config.get("head_dim", spec.head_dim)
    multiple = config.get("pad_vocab_size_multiple", 1)
    positions = read_positions(config, default_base=1000.0, head_dim=head_dim, num_layers=spec.num_layers)
    return replace(
        spec,
        vocab_size=-(-spec.vocab_size // multiple) * multiple,
        head_dim=head_dim,
        positions=(positions,),
        gated=True,
        attention_bias=False,
        attention_output_bias=False,
        up_bias=False,
        down_bias=False,
        dropout=replace(
            spec.dropout,
            embeddings=config.get("embd_pdrop", dropout),
            attention_weights=config.get("attention_probs_dropout_prob", 0.0),
            attention_output=dropout,
            feed_forward_output=dropout,
        ),
    )


def _function(config: Config) -> str:
    """Of the gate: the publisher's names say that there is one, BERT's name `hidden_act` does not."""
    config.only("activation_function", *GATED)
    if "activation_function" in config:
        config.skip("hidden_act")
        return GATED[config["activation_function"]]
    return activation(config, "hidden_act")


def write_nomic_bert(spec: EncoderSpec) -> dict[str, Any]:
    return write_bert(spec) | written_positions(spec) | {"head_dim": spec.head_dim}


_EMBEDDINGS = {
    "embeddings.word_embeddings": "embeddings.tokens",
    "embeddings.token_type_embeddings": "embeddings.token_types",
}
_HEADS = ("pooler.", "cls.", "classifier.")

PUBLISHED = WeightMap(
    prefix="nomic_bert.",
    table=_EMBEDDINGS
    | {
        "emb_ln": "embeddings.normalization",
        "encoder.layers.{}.attn.out_proj": "layers.{}.attention.output",
        "encoder.layers.{}.norm1": "layers.{}.attention_norm",
        "encoder.layers.{}.mlp.fc11": "layers.{}.feed_forward.up",
        "encoder.layers.{}.mlp.fc12": "layers.{}.feed_forward.gate",
        "encoder.layers.{}.mlp.fc2": "layers.{}.feed_forward.down",
        "encoder.layers.{}.norm2": "layers.{}.feed_forward_norm",
    },
    stacked={
        "encoder.layers.{}.attn.Wqkv": (
            "layers.{}.attention.query",
            "layers.{}.attention.key",
            "layers.{}.attention.value",
        ),
    },
    heads=_HEADS,
)
CONVERTED = WeightMap(
    prefix="nomic_bert.",
    table=_EMBEDDINGS
    | {
        "embeddings.LayerNorm": "embeddings.normalization",
        "layers.{}.self_attn.q_proj": "layers.{}.attention.query",
        "layers.{}.self_attn.k_proj": "layers.{}.attention.key",
        "layers.{}.self_attn.v_proj": "layers.{}.attention.value",
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
    model_types=("nomic_bert",),
    architecture="NomicBertModel",
    read=read_nomic_bert,
    write=write_nomic_bert,
    # the publisher's own code has the prefix "bert."
    weights=(PUBLISHED, replace(PUBLISHED, prefix="bert."), CONVERTED),
    heads=bert_heads(
        "NomicBert",
        masked=PublishedHead(
            architecture="NomicBertForMaskedLM",
            read=masked_head(),
            write=write_tying,
            tables=(
                {
                    "cls.predictions.transform.dense": "dense",
                    "cls.predictions.transform.layer_norm": "norm",
                    "cls.predictions.decoder": "output",
                    "cls.predictions.bias": "output.bias",
                },
            ),
        ),
        kinds=(SEQUENCE, TOKENS, MASKED),
    ),
    known_code=("modeling_hf_nomic_bert.NomicBertModel",),
)
