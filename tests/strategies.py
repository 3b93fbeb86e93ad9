"""What hypothesis draws: packings with every kind of hole, streams of numbers, and small specs of every shape.

Everything drawn is tiny, so that a loop over tokens and heads in the test itself can be the oracle. Draws are the same
in every run (`derandomize`): a failure on one machine is a failure on all.
"""

from collections.abc import Sequence
from itertools import accumulate, chain

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

from vitrail.layers.activations import ACTIVATIONS
from vitrail.layers.packing import Packing
from vitrail.models import (
    AlibiPositions,
    DisentangledPositions,
    DropoutSpec,
    EncoderSpec,
    LearnedPositions,
    PositionScheme,
    RelativeBiasPositions,
    RotaryPositions,
    SinusoidalPositions,
)

# The longest row a drawn learned table has positions for; drawn packings stay below it.
LONGEST = 12


def some(examples: int) -> settings:
    """Settings as a decorator: this many examples, the same in every run, however slow the machine is."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@st.composite
def masks(draw: st.DrawFn, *, max_rows: int = 4, max_length: int = 8) -> Tensor:
    """(batch, length) bool: holes, padding on either side, empty rows, no rows, no columns."""
    rows, length = draw(st.integers(0, max_rows)), draw(st.integers(0, max_length))
    row = st.lists(st.booleans(), min_size=length, max_size=length)
    kept = draw(st.lists(row, min_size=rows, max_size=rows))
    return torch.tensor(kept, dtype=torch.bool).view(rows, length)


@st.composite
def packings(
    draw: st.DrawFn, *, lengths: st.SearchStrategy[int] | None = None, max_sequences: int = 4, holes: bool = True
) -> Packing:
    """Sequences of the given lengths (0 among them); with `holes`, some whose columns start late and jump."""
    drawn = tuple(draw(st.lists(st.integers(0, 6) if lengths is None else lengths, max_size=max_sequences)))
    if not holes or draw(st.booleans()):
        return Packing.of(drawn)
    gaps = draw(st.lists(st.integers(1, 2), min_size=3, max_size=3))
    columns = [
        list(accumulate((gaps[i % 3] for i in range(1, length)), initial=length % 3))[:length] for length in drawn
    ]
    return Packing(drawn, torch.tensor(list(chain.from_iterable(columns)), dtype=torch.long), plain=False)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normally distributed, a function of shape and seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def encoder_specs(draw: st.DrawFn) -> EncoderSpec:
    """Any small encoder: every scheme of positions, normalisation, sharing, grouping and bias, in any combination."""
    padding_id = draw(st.sampled_from([None, 0, 1]))
    sets = _sharing(draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)))
    head_dim = draw(st.integers(1, 6))
    positions = draw(_positions(padding_id, head_dim, sets))
    num_kv_heads = draw(st.integers(1, 2))
    grouped = not any(isinstance(scheme, DisentangledPositions) for scheme in positions)
    normalization = draw(st.sampled_from(["layer_norm", "rms_norm"]))
    hidden_size = draw(st.integers(2, 9))
    windows = draw(st.lists(st.sampled_from([None, 0, 1, 3]), min_size=len(set(sets)), max_size=len(set(sets))))
    flag = st.booleans()
    probability = st.sampled_from([0.0, 0.1])
    return EncoderSpec(
        vocab_size=11,
        hidden_size=hidden_size,
        embedding_size=draw(st.sampled_from([hidden_size, 5])),
        num_heads=num_kv_heads * (draw(st.integers(1, 3)) if grouped else 1),
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        intermediate_size=draw(st.integers(1, 13)),
        num_token_types=draw(st.integers(0, 2)),
        padding_id=padding_id,
        positions=positions,
        causal=draw(flag),
        windows=tuple(windows[group] for group in sets),
        shared_layers=sets,
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        gated=draw(flag),
        normalization=normalization,
        norm_epsilon=draw(st.sampled_from([1e-5, 1e-12])),
        norm_bias=normalization == "layer_norm" and draw(flag),
        pre_norm=draw(flag),
        embedding_norm=draw(flag),
        first_attention_norm=sets.count(0) > 1 or draw(flag),
        final_norm=draw(flag),
        attention_bias=draw(flag),
        attention_output_bias=draw(flag),
        up_bias=draw(flag),
        down_bias=draw(flag),
        embedding_scale=draw(st.sampled_from([1.0, 2.5])),
        dropout=DropoutSpec(
            embeddings=draw(probability),
            attention_weights=draw(probability),
            attention_output=draw(probability),
            activation=draw(probability),
            feed_forward_output=draw(probability),
            relation=draw(probability),
        ),
        initializer_range=draw(st.sampled_from([None, 0.2])),
    )


@st.composite
def _positions(
    draw: st.DrawFn, padding_id: int | None, head_dim: int, sets: Sequence[int]
) -> tuple[PositionScheme, ...]:
    """At most one scheme of each place they enter."""
    table = LearnedPositions(max_positions=LONGEST + 2, padding_id=draw(st.sampled_from([None, padding_id])))
    chosen: list[PositionScheme | None] = [draw(st.sampled_from([None, SinusoidalPositions(), table]))]
    if head_dim >= 2:
        bases = draw(st.lists(st.sampled_from([100.0, 10000.0]), min_size=len(set(sets)), max_size=len(set(sets))))
        rotary = RotaryPositions(
            bases=tuple(bases[group] for group in sets),
            rotary_dim=2 * draw(st.integers(1, head_dim // 2)),
            scaling=draw(st.sampled_from([1.0, 2.0])),
        )
        chosen.append(draw(st.sampled_from([None, rotary])))
    meets = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    disentangled = DisentangledPositions(
        num_buckets=draw(st.sampled_from([None, 4, 8])),
        max_distance=10,
        content_to_position=meets[0],
        position_to_content=meets[1],
        shared_projections=draw(st.booleans()),
        normalized=draw(st.booleans()),
    )
    bias = RelativeBiasPositions(num_buckets=draw(st.sampled_from([4, 8])), max_distance=10)
    chosen.append(draw(st.sampled_from([None, AlibiPositions(), bias, disentangled])))
    return tuple(scheme for scheme in chosen if scheme is not None)


def _sharing(labels: Sequence[int]) -> tuple[int, ...]:
    """The labels renumbered 0, 1, … in the order they appear."""
    order = list(dict.fromkeys(labels))
    return tuple(order.index(label) for label in labels)
