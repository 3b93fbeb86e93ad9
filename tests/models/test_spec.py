"""What a spec refuses, and says: a model that cannot be built never reaches the builder."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from vitrail.models import (
    AlibiPositions,
    DisentangledPositions,
    DropoutSpec,
    EncoderSpec,
    LearnedPositions,
    RelativeBiasPositions,
    RotaryPositions,
    SinusoidalPositions,
)

SPEC = EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=3, num_heads=2, intermediate_size=5)
DISENTANGLED = {
    "content_to_position": True,
    "position_to_content": True,
    "shared_projections": True,
    "normalized": False,
}


def rotary(dim: int, *bases: float) -> RotaryPositions:
    return RotaryPositions(bases=bases, rotary_dim=dim, scaling=1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        ({"head_dim": -1}, "head_dim must be at least 1, got -1"),
        ({"intermediate_size": 0}, "intermediate_size must be at least 1"),
        ({"num_token_types": -1}, "num_token_types must not be negative"),
        ({"num_heads": 3, "num_kv_heads": 2}, "num_heads 3 is not a multiple of num_kv_heads 2"),
        ({"padding_id": 11}, "padding_id 11 is outside the vocabulary of 11"),
        ({"padding_id": -1}, "padding_id -1 is outside"),
        ({"windows": (None, None)}, "windows has 2 layers, shared_layers 3"),
        ({"windows": (None, -1, 3)}, "window must not be negative, got -1"),
        ({"shared_layers": (0, 2, 2)}, "must number its sets 0, 1, …"),
        ({"shared_layers": (0, 0, 1), "windows": (None, 3, None)}, "share parameters must have the same window"),
        (
            {"shared_layers": (0, 0, 1), "positions": (rotary(2, 1e4, 5e4, 1e4),)},
            "share parameters must have the same window, rotary base",
        ),
        ({"shared_layers": (0, 0, 1), "first_attention_norm": False}, "window, rotary base and normalisations"),
        ({"activation": "mish"}, "activation 'mish': one of relu"),
        ({"normalization": "batch_norm"}, "normalization 'batch_norm': one of layer_norm"),
        ({"normalization": "rms_norm"}, "set norm_bias=False"),
        ({"positions": (SinusoidalPositions(), LearnedPositions(max_positions=9, padding_id=None))}, "the same place"),
        ({"positions": (rotary(3, 1e4, 1e4, 1e4),)}, "rotary_dim 3 must be even"),
        ({"positions": (rotary(6, 1e4, 1e4, 1e4),)}, "at most head_dim 4"),
        ({"positions": (rotary(2, 1e4),)}, "rotary bases has 1 layers, the model 3"),
        ({"dropout": replace(DropoutSpec.none(), activation=1.0)}, r"dropout.activation must be in \[0, 1\), got 1.0"),
    ],
)
def test_a_spec_that_cannot_be_built_is_refused_by_name(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, **changes)


def test_disentangled_positions_do_not_go_with_grouped_heads():
    scheme = DisentangledPositions(num_buckets=None, max_distance=5, **DISENTANGLED)

    with pytest.raises(ValueError, match="num_kv_heads == num_heads"):
        replace(SPEC, num_kv_heads=1, positions=(scheme,))


@pytest.mark.parametrize("sizes", [{"num_buckets": 3, "max_distance": 9}, {"num_buckets": 32, "max_distance": 8}])
def test_a_relative_bias_without_room_for_its_buckets_is_refused(sizes: dict):
    with pytest.raises(ValueError, match="relative bias with num_buckets"):
        RelativeBiasPositions(**sizes)


@pytest.mark.parametrize("sizes", [{"num_buckets": 1, "max_distance": 9}, {"num_buckets": 8, "max_distance": 5}])
def test_disentangled_positions_without_room_for_their_buckets_are_refused(sizes: dict):
    with pytest.raises(ValueError, match="disentangled positions with num_buckets"):
        DisentangledPositions(**sizes, **DISENTANGLED)


def test_disentangled_positions_that_meet_nothing_are_refused():
    nothing = DISENTANGLED | {"content_to_position": False, "position_to_content": False}

    with pytest.raises(ValueError, match="content_to_position, position_to_content, or both"):
        DisentangledPositions(num_buckets=None, max_distance=5, **nothing)


def test_a_spec_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        SPEC.num_heads = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("positions", "longest"),
    [
        ((), None),
        ((SinusoidalPositions(), AlibiPositions()), None),
        ((LearnedPositions(max_positions=9, padding_id=None),), 9),
        ((LearnedPositions(max_positions=9, padding_id=1), AlibiPositions()), 7),
    ],
)
def test_the_longest_text_is_what_the_positions_allow(positions: tuple, longest: int | None):
    assert replace(SPEC, positions=positions).max_length == longest


def test_the_original_encoder_is_the_base_model_of_the_paper():
    """Table 3 of "Attention Is All You Need", row "base"; embeddings are scaled by √hidden (section 3.4)."""
    spec = EncoderSpec.original(vocab_size=37000)

    assert (spec.num_layers, spec.hidden_size, spec.intermediate_size, spec.num_heads) == (6, 512, 2048, 8)
    assert (spec.head_dim, spec.activation, spec.pre_norm, spec.normalization) == (64, "relu", False, "layer_norm")
    assert spec.embedding_scale == math.sqrt(512)
    assert spec.dropout.embeddings == spec.dropout.attention_output == spec.dropout.feed_forward_output == 0.1


def test_the_original_encoder_needs_heads_that_divide_its_width():
    with pytest.raises(ValueError, match="hidden_size 10 is not a multiple of num_heads 4"):
        EncoderSpec.original(vocab_size=5, hidden_size=10, num_heads=4)
