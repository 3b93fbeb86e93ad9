"""ModernBERT ([Warner 2024]): what decoders learned since BERT, for an encoder.

Beside BERT: rotary positions; most layers see a window only, and turn by a base of their own; pre-norm with a final
norm, and none before the first attention; GeGLU; no biases; no token types. Its dropout on the output of attention is
that of the weights; the feed-forward network has one inside and none on its output.

[Warner 2024]: https://arxiv.org/abs/2412.13663
"""

from collections.abc import Callable
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.config import Config
from vitrail.families.family import ACTIVATION_NAMES, PUBLISHED_ACTIVATIONS, Family, activation
from vitrail.families.heads import KINDS, MASKED, SEQUENCE, PublishedHead
from vitrail.families.rope import base_and_scaling, written_rope
from vitrail.layers.head import HeadSpec
from vitrail.models.positions import RotaryPositions
from vitrail.models.spec import DropoutSpec, EncoderSpec

FULL, SLIDING = "full_attention", "sliding_attention"
DEFAULT_BASES = {FULL: 160000.0, SLIDING: 10000.0}


def read_modernbert(config: Config) -> EncoderSpec:
    config.skip("classifier_activation", "classifier_bias", "classifier_pooling", "decoder_bias")
    config.skip("deterministic_flash_attn", "reference_compile", "repad_logits_with_grad")
    config.skip("sparse_pred_ignore_index", "sparse_prediction")
    config.skip("layer_norm_eps", "position_embedding_type")  # inherited, and not looked at by the reference code
    hidden_size, num_heads = config["hidden_size"], config["num_attention_heads"]
    if hidden_size % num_heads:
        raise UnsupportedModel(f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_heads}")
    layer_types = _layer_types(config)
    attention_dropout = config.get("attention_dropout", 0.0)
    return EncoderSpec(
        vocab_size=config["vocab_size"],
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=hidden_size // num_heads,
        intermediate_size=config["intermediate_size"],
        num_token_types=0,
        padding_id=config.nullable("pad_token_id", 50283),
        positions=(_rotary(config, layer_types, hidden_size // num_heads),),
        causal=False,
        windows=tuple(None if kind == FULL else config.get("local_attention", 128) // 2 for kind in layer_types),
        shared_layers=tuple(range(len(layer_types))),
        activation=activation(config, "hidden_activation"),
        gated=True,
        normalization="layer_norm",
        norm_epsilon=config.get("norm_eps", 1e-5),
        norm_bias=config.get("norm_bias", False),
        pre_norm=True,
        embedding_norm=True,
        first_attention_norm=False,
        final_norm=True,
        attention_bias=config.get("attention_bias", False),
        attention_output_bias=config.get("attention_bias", False),
        up_bias=config.get("mlp_bias", False),
        down_bias=config.get("mlp_bias", False),
        embedding_scale=1.0,
        dropout=DropoutSpec(
            embeddings=config.get("embedding_dropout", 0.0),
            attention_weights=attention_dropout,
            attention_output=attention_dropout,
            activation=config.get("mlp_dropout", 0.0),
            feed_forward_output=0.0,
            relation=0.0,
        ),
        initializer_range=config.get("initializer_range", 0.02),
    )


def _layer_types(config: Config) -> tuple[str, ...]:
    num_layers = config["num_hidden_layers"]
    every = config.get("global_attn_every_n_layers", 3)
    types = tuple(config.get("layer_types", [SLIDING if index % every else FULL for index in range(num_layers)]))
    if len(types) != num_layers or set(types) - {FULL, SLIDING}:
        raise UnsupportedModel(
            f"layer_types of this modernbert model are {types!r}; vitrail needs {num_layers} of {FULL} or {SLIDING}"
        )
    return types


def _rotary(config: Config, layer_types: tuple[str, ...], head_dim: int) -> RotaryPositions:
    config.only("rope_scaling", None)
    nested = config.get("rope_parameters", {})
    if set(nested) - {FULL, SLIDING}:
        raise UnsupportedModel(
            f"rope_parameters of this modernbert model are {nested!r}; vitrail needs them by type of layer, {FULL} and "
            f"{SLIDING}"
        )
    full = config.get("global_rope_theta", DEFAULT_BASES[FULL])
    older = {FULL: full, SLIDING: config.nullable("local_rope_theta", DEFAULT_BASES[SLIDING]) or full}
    found = {
        kind: base_and_scaling(nested.get(kind) or {}, default_base=older[kind], head_dim=head_dim)
        for kind in set(layer_types)
    }
    scalings = {scaling for _, scaling in found.values()}
    if len(scalings) > 1:
        raise UnsupportedModel("the rotary positions of this modernbert model are scaled differently by type of layer")
    return RotaryPositions(
        bases=tuple(found[kind][0] for kind in layer_types),
        rotary_dim=head_dim,
        scaling=scalings.pop(),
        trained_length=config.get("max_position_embeddings", None),
    )


def write_modernbert(spec: EncoderSpec) -> dict[str, Any]:
    layer_types = [FULL if window is None else SLIDING for window in spec.windows]
    written: dict[str, Any] = {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "hidden_activation": PUBLISHED_ACTIVATIONS[spec.activation],
        "norm_eps": spec.norm_epsilon,
        "norm_bias": spec.norm_bias,
        "attention_bias": spec.attention_bias,
        "mlp_bias": spec.up_bias,
        "layer_types": layer_types,
        "local_attention": 2 * next((window for window in spec.windows if window is not None), 64),
        "embedding_dropout": spec.dropout.embeddings,
        "attention_dropout": spec.dropout.attention_weights,
        "mlp_dropout": spec.dropout.activation,
        "initializer_range": spec.initializer_range,
        "pad_token_id": spec.padding_id,
    }
    if spec.rotary is not None:
        bases = DEFAULT_BASES | dict(zip(layer_types, spec.rotary.bases, strict=True))
        written["rope_parameters"] = {kind: written_rope(base, spec.rotary.scaling) for kind, base in bases.items()}
        if spec.rotary.trained_length is not None:
            written["max_position_embeddings"] = spec.rotary.trained_length
    return written


# The classes of the reference library that end in these have the same head but for its output.
_ENDINGS = dict(
    zip(KINDS, ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM"), strict=True)
)


def read_head(kind: str) -> Callable[[Config, EncoderSpec], HeadSpec]:
    """dense → activation → norm → dropout → output; sequences are pooled first, masked tokens not dropped."""

    def read(config: Config, spec: EncoderSpec) -> HeadSpec:
        function = config.get("classifier_activation", "gelu")
        return HeadSpec(
            outputs=1,
            pooling=config.get("classifier_pooling", "cls") if kind == SEQUENCE else None,
            dense_size=spec.hidden_size,
            dense_bias=config.get("classifier_bias", False),
            activation=ACTIVATION_NAMES.get(function, function),
            norm_epsilon=spec.norm_epsilon,
            norm_bias=spec.norm_bias,
            dropout=0.0 if kind == MASKED else config.get("classifier_dropout", 0.0),
            output_bias=config.get("decoder_bias", True) if kind == MASKED else True,
            tied=kind == MASKED and config.get("tie_word_embeddings", True),
        )

    return read


def write_head(kind: str) -> Callable[[HeadSpec], dict[str, Any]]:
    def write(head: HeadSpec) -> dict[str, Any]:
        function = head.activation or "gelu"
        options: dict[str, Any] = {
            "classifier_activation": PUBLISHED_ACTIVATIONS.get(function, function),
            "classifier_bias": head.dense_bias,
        }
        if kind == MASKED:
            return options | {"decoder_bias": head.output_bias, "tie_word_embeddings": head.tied}
        return options | {"classifier_dropout": head.dropout, "classifier_pooling": head.pooling or "cls"}

    return write


FAMILY = Family(
    model_types=("modernbert",),
    architecture="ModernBertModel",
    read=read_modernbert,
    write=write_modernbert,
    weights=(
        WeightMap(
            prefix="model.",
            table={
                "embeddings.tok_embeddings": "embeddings.tokens",
                "embeddings.norm": "embeddings.normalization",
                "layers.{}.attn_norm": "layers.{}.attention_norm",
                "layers.{}.attn.Wo": "layers.{}.attention.output",
                "layers.{}.mlp_norm": "layers.{}.feed_forward_norm",
                "layers.{}.mlp.Wo": "layers.{}.feed_forward.down",
                "final_norm": "final_norm",
            },
            stacked={
                "layers.{}.attn.Wqkv": (
                    "layers.{}.attention.query",
                    "layers.{}.attention.key",
                    "layers.{}.attention.value",
                ),
                "layers.{}.mlp.Wi": ("layers.{}.feed_forward.gate", "layers.{}.feed_forward.up"),
            },
            heads=("head.", "decoder.", "classifier."),
        ),
    ),
    heads={
        kind: PublishedHead(
            architecture=f"ModernBertFor{ending}",
            read=read_head(kind),
            write=write_head(kind),
            tables=(
                {
                    "head.dense": "dense",
                    "head.norm": "norm",
                    "decoder" if kind == MASKED else "classifier": "output",
                },
            ),
        )
        for kind, ending in _ENDINGS.items()
    },
)
