"""Small models of the shapes the engine runs, with random weights."""

from dataclasses import replace

import torch
from hypothesis import strategies as st

from strategies import encoder_specs
from vitrail.backends.native import unsupported
from vitrail.layers.packing import Packing
from vitrail.models import DropoutSpec, EncoderModel, EncoderSpec, LearnedPositions


def bert_spec(
    *,
    hidden_size: int = 24,
    num_heads: int = 3,
    head_dim: int = 8,
    intermediate_size: int = 40,
    num_layers: int = 2,
    max_positions: int = 520,
    num_token_types: int = 2,
    padding_id: int | None = None,
    biases: bool = True,
    embedding_norm: bool = True,
) -> EncoderSpec:
    """A small BERT. `padding_id`: positions count the ids that are not it, as RoBERTa's do."""
    return EncoderSpec(
        vocab_size=31,
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=head_dim,
        intermediate_size=intermediate_size,
        num_token_types=num_token_types,
        padding_id=padding_id,
        positions=(LearnedPositions(max_positions=max_positions, padding_id=padding_id),),
        causal=False,
        windows=(None,) * num_layers,
        shared_layers=tuple(range(num_layers)),
        activation="gelu",
        gated=False,
        normalization="layer_norm",
        norm_epsilon=1e-12,
        norm_bias=biases,
        pre_norm=False,
        embedding_norm=embedding_norm,
        first_attention_norm=True,
        final_norm=False,
        attention_bias=biases,
        attention_output_bias=biases,
        up_bias=biases,
        down_bias=biases,
        embedding_scale=1.0,
        dropout=DropoutSpec.none(),
        initializer_range=0.2,
    )


@st.composite
def engine_specs(draw: st.DrawFn) -> EncoderSpec:
    """Whatever the engine takes: shapes of every family, at widths that no tile divides."""
    spec = draw(encoder_specs().filter(lambda spec: unsupported(spec) is None))
    hidden_size = draw(st.integers(1, 150))
    head_dim = draw(st.sampled_from([1, 8, 9, 16, 25, 33, 64, 100, 128]))
    longest = LearnedPositions(max_positions=520, padding_id=spec.padding_id)
    return replace(
        spec,
        hidden_size=hidden_size,
        embedding_size=draw(st.sampled_from([hidden_size, 5, 70])),
        head_dim=max(head_dim, 0 if spec.rotary is None else spec.rotary.rotary_dim),
        intermediate_size=draw(st.integers(1, 150)),
        positions=tuple(longest if isinstance(each, LearnedPositions) else each for each in spec.positions),
        dropout=DropoutSpec.none(),
        initializer_range=0.2,
    )


def random_model(spec: EncoderSpec, seed: int = 0) -> EncoderModel:
    """In eval mode; biases, gains and shifts are random too."""
    model = EncoderModel(spec).eval()
    model.initialize(seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def random_ids(spec: EncoderSpec, packing: Packing, seed: int = 0) -> torch.Tensor:
    """Ids of the vocabulary, the padding's among them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, spec.vocab_size, (packing.num_tokens,), generator=generator)
