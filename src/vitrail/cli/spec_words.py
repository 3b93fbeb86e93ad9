"""A spec in words: each line what someone who knows what a Transformer is would say of this one."""

from collections.abc import Sequence

from vitrail.models.positions import (
    AlibiPositions,
    DisentangledPositions,
    LearnedPositions,
    PositionScheme,
    RelativeBiasPositions,
    RotaryPositions,
    SinusoidalPositions,
)
from vitrail.models.spec import EncoderSpec

ACTIVATION_WORDS = {"gelu": "GELU", "gelu_tanh": "GELU (tanh form)", "relu": "ReLU", "silu": "SiLU"}
GATED_WORDS = {"gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh form)", "relu": "ReGLU", "silu": "SwiGLU"}
DROPOUT_WORDS = {
    "attention_weights": "attention weights",
    "attention_output": "attention's output",
    "feed_forward_output": "feed-forward's output",
    "relation": "vectors of distances",
}
NORM_WORDS = {"layer_norm": "LayerNorm", "rms_norm": "RMSNorm"}


def spec_in_words(spec: EncoderSpec) -> list[tuple[str, str]]:
    """(what, words) for each line."""
    return [
        ("layers", _layers(spec)),
        ("width", _width(spec)),
        ("attention", _heads(spec)),
        ("who sees whom", _sight(spec)),
        ("positions", "; ".join(_position(scheme, spec) for scheme in spec.positions) or "none: order is not seen"),
        ("feed-forward", _feed_forward(spec)),
        ("normalisation", _norms(spec)),
        ("biases", _biases(spec)),
        ("vocabulary", _vocabulary(spec)),
        ("dropout", _dropout(spec)),
    ]


def _layers(spec: EncoderSpec) -> str:
    sets = len(set(spec.shared_layers))
    if sets == spec.num_layers:
        return f"{spec.num_layers}, each with parameters of its own"
    return f"{spec.num_layers} steps through {_count(sets, 'set')} of parameters, which the layers share"


def _width(spec: EncoderSpec) -> str:
    width = f"{spec.hidden_size:,} numbers per token"
    if spec.embedding_size == spec.hidden_size:
        return width
    return f"{width}, projected from embeddings of {spec.embedding_size:,}"


def _heads(spec: EncoderSpec) -> str:
    words = f"{_count(spec.num_heads, 'head')} of {spec.head_dim}"
    if spec.num_kv_heads < spec.num_heads:
        shared = spec.num_heads // spec.num_kv_heads
        words += f"; every {shared} share one of {_count(spec.num_kv_heads, 'key/value head')}"
    return words


def _sight(spec: EncoderSpec) -> str:
    direction = "it and those before it (causal)" if spec.causal else "every token of its text"
    windows = spec.windows
    if not any(window is not None for window in windows):
        return f"a token sees {direction}"
    side = "before it" if spec.causal else "to each side"
    widths = sorted({window for window in windows if window is not None})
    near = f"{' or '.join(f'{width:,}' for width in widths)} tokens {side}"
    whole = [index for index, window in enumerate(windows) if window is None]
    if not whole:
        return f"a token sees {near}, in every layer"
    period = _period(windows)
    in_period = sum(window is None for window in windows[:period])
    if period < len(windows):
        return f"{in_period} of every {period} layers sees {direction}, the others {near}; {_named(whole)} see all"
    return f"{_named(whole)} see{'s' if len(whole) == 1 else ''} {direction}, the others {near}"


def _period(windows: Sequence[int | None]) -> int:
    """After how many layers the pattern begins again; all of them when it does not."""
    periods = range(1, len(windows) // 2 + 1)
    repeats = (p for p in periods if all(window == windows[i % p] for i, window in enumerate(windows)))
    return next(repeats, len(windows))


def _named(layers: Sequence[int]) -> str:
    shown = ", ".join(map(str, layers[:4])) + (", …" if len(layers) > 4 else "")
    return f"layer{'' if len(layers) == 1 else 's'} {shown}"


def _position(scheme: PositionScheme, spec: EncoderSpec) -> str:
    match scheme:
        case SinusoidalPositions():
            return "sinusoidal, added to the embeddings, no longest text"
        case LearnedPositions(max_positions=most, padding_id=padding_id):
            counted = "column" if padding_id is None else "count of the ids that are not padding"
            return f"learned, by {counted}, {most:,}"
        case RotaryPositions():
            return _rotary(scheme, spec)
        case AlibiPositions():
            return "a penalty on distance, a slope per head (ALiBi), no longest text"
        case RelativeBiasPositions(num_buckets=buckets, max_distance=most):
            return f"a learned bias per head for {buckets} buckets of distances, up to {most:,}; shared by the layers"
        case DisentangledPositions():
            return _disentangled(scheme)


def _rotary(scheme: RotaryPositions, spec: EncoderSpec) -> str:
    share = "" if scheme.rotary_dim == spec.head_dim else f" of {scheme.rotary_dim} of {spec.head_dim} dimensions"
    bases = " or ".join(f"{base:,.0f}" for base in sorted(set(scheme.bases)))
    words = f"rotations{share} of query and key (rotary), base {bases}"
    if len(set(scheme.bases)) > 1:
        words += " by layer"
    if scheme.scaling != 1.0:
        words += f", stretched {scheme.scaling:g} times"
    if scheme.trained_length is not None:
        words += f", trained for {scheme.trained_length:,} tokens"
    return words


def _disentangled(scheme: DisentangledPositions) -> str:
    if scheme.num_buckets is None:
        kept = f"distances up to {scheme.max_distance:,}"
    else:
        kept = f"{2 * scheme.num_buckets:,} buckets of distances up to {scheme.max_distance:,}"
    terms = ("keys",) * scheme.position_to_content + ("queries",) * scheme.content_to_position
    through = "shared" if scheme.shared_projections else "its own"
    return f"vectors for {kept} that meet {' and '.join(terms)} (disentangled), by {through} projections"


def _feed_forward(spec: EncoderSpec) -> str:
    words = (GATED_WORDS if spec.gated else ACTIVATION_WORDS)[spec.activation]
    return f"{spec.hidden_size:,} → {spec.intermediate_size:,} → {spec.hidden_size:,} with {words}"


def _norms(spec: EncoderSpec) -> str:
    places = ["before each step" if spec.pre_norm else "after the residual"]
    places += ["on the embeddings"] * spec.embedding_norm + ["at the end"] * spec.final_norm
    missing = "" if spec.first_attention_norm else ", but not before the first attention"
    return f"{NORM_WORDS[spec.normalization]} {', '.join(places)}{missing}; ε {spec.norm_epsilon:g}"


def _biases(spec: EncoderSpec) -> str:
    places = {
        "queries, keys and values": spec.attention_bias,
        "attention's output": spec.attention_output_bias,
        "feed-forward up": spec.up_bias,
        "feed-forward down": spec.down_bias,
        "norms": spec.norm_bias,
    }
    having = [place for place, has in places.items() if has]
    lacking = [place for place, has in places.items() if not has]
    if not lacking:
        return "everywhere"
    if not having:
        return "none"
    return f"in {', '.join(having)}" if len(having) <= len(lacking) else f"everywhere but in {', '.join(lacking)}"


def _vocabulary(spec: EncoderSpec) -> str:
    words = f"{spec.vocab_size:,} ids"
    if spec.num_token_types:
        words += f", {_count(spec.num_token_types, 'token type')}"
    if spec.padding_id is not None:
        words += f", padding is {spec.padding_id}"
    return words


def _dropout(spec: EncoderSpec) -> str:
    by_value: dict[float, list[str]] = {}
    for place, probability in vars(spec.dropout).items():
        if probability:
            by_value.setdefault(probability, []).append(DROPOUT_WORDS.get(place, place))
    parts = [f"{value:g} on {', '.join(places)}" for value, places in by_value.items()]
    return "; ".join(parts) or "none"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
