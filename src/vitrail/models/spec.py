"""The description of an encoder, as data.

A spec says everything about a model's shape and arithmetic, and nothing about names, files or text. A family turns a
published config.json into one; `EncoderModel` builds what it says. To build your own, start from `EncoderSpec.original`
and change parts with `dataclasses.replace`.
"""

import math
from dataclasses import dataclass

from vitrail.layers.activations import ACTIVATIONS
from vitrail.layers.normalization import NORMALIZATIONS
from vitrail.models.positions import (
    ADDED_SCHEMES,
    RELATION_SCHEMES,
    DisentangledPositions,
    LearnedPositions,
    PositionScheme,
    RotaryPositions,
    SinusoidalPositions,
)


@dataclass(frozen=True, kw_only=True)
class DropoutSpec:
    """The probability, in training, that a value is zeroed; one number for each place the papers have it."""

    embeddings: float
    attention_weights: float
    attention_output: float
    activation: float  # between the two products of the feed-forward network
    feed_forward_output: float
    relation: float  # on the vectors of distances (DeBERTa)

    @classmethod
    def none(cls) -> "DropoutSpec":
        return cls(
            embeddings=0.0,
            attention_weights=0.0,
            attention_output=0.0,
            activation=0.0,
            feed_forward_output=0.0,
            relation=0.0,
        )


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Everything there is to know about an encoder but its weights. Sizes in numbers, dropouts as probabilities."""

    vocab_size: int
    hidden_size: int
    embedding_size: int  # of the tables; other than hidden_size, a projection follows ("factorised", ALBERT, ELECTRA)
    num_heads: int
    num_kv_heads: int  # fewer than num_heads: each serves a group of them
    head_dim: int  # need not be hidden_size / num_heads
    intermediate_size: int
    num_token_types: int  # 0: none
    padding_id: int | None

    positions: tuple[PositionScheme, ...]  # at most one of each place they enter; empty: the order is not seen
    causal: bool
    windows: tuple[int | None, ...]  # one per layer: how far a token sees to each side, None for everywhere
    shared_layers: tuple[int, ...]  # layer i uses the parameters of set shared_layers[i]; 0, 1, 2, … shares nothing

    activation: str  # a key of layers.activations.ACTIVATIONS
    gated: bool
    normalization: str  # one of layers.normalization.NORMALIZATIONS
    norm_epsilon: float
    norm_bias: bool
    pre_norm: bool
    embedding_norm: bool
    first_attention_norm: bool  # False: layer 0 has none before its attention (ModernBERT)
    final_norm: bool
    attention_bias: bool
    attention_output_bias: bool
    up_bias: bool
    down_bias: bool
    embedding_scale: float

    dropout: DropoutSpec
    # standard deviation of new weights; None: Glorot's uniform for matrices and 1/√hidden for tables ([Vaswani 2017])
    initializer_range: float | None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "embedding_size", "num_heads", "num_kv_heads", "head_dim"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        _require(self.intermediate_size >= 1, f"intermediate_size must be at least 1, got {self.intermediate_size}")
        _require(self.num_token_types >= 0, f"num_token_types must not be negative, got {self.num_token_types}")
        _require(
            self.num_heads % self.num_kv_heads == 0,
            f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}",
        )
        _require(
            len(self.windows) == len(self.shared_layers),
            f"windows has {len(self.windows)} layers, shared_layers {len(self.shared_layers)}",
        )
        sets = sorted(set(self.shared_layers))
        _require(sets == list(range(len(sets))), f"shared_layers must number its sets 0, 1, …, got {sets}")
        _require(
            self.padding_id is None or 0 <= self.padding_id < self.vocab_size,
            f"padding_id {self.padding_id} is outside the vocabulary of {self.vocab_size}",
        )
        narrowest = min((window for window in self.windows if window is not None), default=0)
        _require(narrowest >= 0, f"a window must not be negative, got {narrowest}; 0 lets a token see itself alone")
        _require(self.activation in ACTIVATIONS, f"activation {self.activation!r}: one of {', '.join(ACTIVATIONS)}")
        _require(
            self.normalization in NORMALIZATIONS,
            f"normalization {self.normalization!r}: one of {', '.join(NORMALIZATIONS)}",
        )
        _require(not (self.norm_bias and self.normalization == "rms_norm"), "rms_norm has no bias; set norm_bias=False")
        for place in (ADDED_SCHEMES, RELATION_SCHEMES, (RotaryPositions,)):
            found = [type(scheme).__name__ for scheme in self.positions if isinstance(scheme, place)]
            _require(len(found) <= 1, f"these position schemes enter at the same place: {', '.join(found)}")
        if self.rotary is not None:
            _require(
                len(self.rotary.bases) == self.num_layers,
                f"rotary bases has {len(self.rotary.bases)} layers, the model {self.num_layers}",
            )
            _require(
                self.rotary.rotary_dim % 2 == 0 and self.rotary.rotary_dim <= self.head_dim,
                f"rotary_dim {self.rotary.rotary_dim} must be even and at most head_dim {self.head_dim}",
            )
        self._check_shared_layers()
        if isinstance(self.relation, DisentangledPositions):
            _require(self.num_kv_heads == self.num_heads, "disentangled positions need num_kv_heads == num_heads")
        for name, probability in vars(self.dropout).items():
            _require(0 <= probability < 1, f"dropout.{name} must be in [0, 1), got {probability}")

    def _check_shared_layers(self) -> None:
        """Layers that share parameters are one module, so nothing else may tell them apart."""
        bases = self.rotary.bases if self.rotary is not None else (None,) * self.num_layers
        first_norms = (index > 0 or self.first_attention_norm for index in range(self.num_layers))
        differing = zip(self.shared_layers, self.windows, bases, first_norms, strict=True)
        _require(
            len(set(differing)) == len(set(self.shared_layers)),
            "layers that share parameters must have the same window, rotary base and normalisations; "
            f"shared_layers is {self.shared_layers}",
        )

    @property
    def num_layers(self) -> int:
        return len(self.shared_layers)

    @property
    def max_length(self) -> int | None:
        """The longest sequence the positions allow; None: any."""
        learned = next((scheme for scheme in self.positions if isinstance(scheme, LearnedPositions)), None)
        if learned is None:
            return None
        return learned.max_positions - (0 if learned.padding_id is None else learned.padding_id + 1)

    @property
    def added(self) -> PositionScheme | None:
        """The scheme added to the embeddings, if any."""
        return next((scheme for scheme in self.positions if isinstance(scheme, ADDED_SCHEMES)), None)

    @property
    def rotary(self) -> RotaryPositions | None:
        return next((scheme for scheme in self.positions if isinstance(scheme, RotaryPositions)), None)

    @property
    def relation(self) -> PositionScheme | None:
        """The scheme added to the attention scores, if any."""
        return next((scheme for scheme in self.positions if isinstance(scheme, RELATION_SCHEMES)), None)

    @classmethod
    def original(
        cls,
        *,
        vocab_size: int,
        hidden_size: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        intermediate_size: int = 2048,
        dropout: float = 0.1,
        padding_id: int | None = None,
    ) -> "EncoderSpec":
        """The encoder of "Attention Is All You Need" (base size): sinusoidal positions, post-norm, ReLU ([Vaswani
        2017]).

        [Vaswani 2017]: https://arxiv.org/abs/1706.03762
        """
        _require(hidden_size % num_heads == 0, f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
        return cls(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            embedding_size=hidden_size,
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=hidden_size // num_heads,
            intermediate_size=intermediate_size,
            num_token_types=0,
            padding_id=padding_id,
            positions=(SinusoidalPositions(),),
            causal=False,
            windows=(None,) * num_layers,
            shared_layers=tuple(range(num_layers)),
            activation="relu",
            gated=False,
            normalization="layer_norm",
            norm_epsilon=1e-5,
            norm_bias=True,
            pre_norm=False,
            embedding_norm=False,
            first_attention_norm=True,
            final_norm=False,
            attention_bias=True,
            attention_output_bias=True,
            up_bias=True,
            down_bias=True,
            embedding_scale=math.sqrt(hidden_size),
            dropout=DropoutSpec(
                embeddings=dropout,
                attention_weights=dropout,
                attention_output=dropout,
                activation=dropout,
                feed_forward_output=dropout,
                relation=0.0,
            ),
            initializer_range=None,
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
