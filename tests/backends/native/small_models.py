"""Small models of the shape the engine runs, with random weights."""

import torch
from hypothesis import strategies as st

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
def bert_specs(draw: st.DrawFn) -> EncoderSpec:
    """Widths that no tile divides, heads of any width, biases or none."""
    return bert_spec(
        hidden_size=draw(st.integers(1, 150)),
        num_heads=draw(st.integers(1, 5)),
        head_dim=draw(st.sampled_from([1, 8, 9, 16, 25, 33, 64, 100, 128])),
        intermediate_size=draw(st.integers(1, 150)),
        num_layers=draw(st.integers(1, 2)),
        num_token_types=draw(st.sampled_from([0, 1, 2])),
        padding_id=draw(st.sampled_from([None, 1])),
        biases=draw(st.booleans()),
        embedding_norm=draw(st.booleans()),
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
