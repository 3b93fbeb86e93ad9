"""The encoder as a whole: what layers share, what sizes may differ, how long a text may be."""

from dataclasses import replace

import pytest
import torch

from vitrail.layers.kernels import reference
from vitrail.layers.packing import Packing
from vitrail.models import (
    AlibiPositions,
    DisentangledPositions,
    EncoderModel,
    EncoderSpec,
    LearnedPositions,
    RelativeBiasPositions,
    RotaryPositions,
    SinusoidalPositions,
)

SPEC = replace(
    EncoderSpec.original(vocab_size=11, hidden_size=8, num_layers=3, num_heads=2, intermediate_size=5, dropout=0.0),
    initializer_range=0.3,
)
IDS, PACKING = torch.tensor([3, 1, 4, 1, 5, 9, 2]), Packing.of([4, 3])


def built(seed: int = 0, **changes) -> EncoderModel:
    model = EncoderModel(replace(SPEC, **changes)).double()
    model.initialize(seed)
    return model


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_layers_that_share_parameters_are_one_module_in_several_places():
    shared, unshared = built(shared_layers=(0, 0, 1)), built()

    assert shared.layers[0] is shared.layers[1]
    assert shared.layers[0] is not shared.layers[2]
    assert count(unshared) - count(shared) == count(unshared.layers[1])
    assert len(shared.layers) == shared.spec.num_layers == 3


def test_the_gradients_of_shared_layers_add_up_over_their_places():
    shared, unshared = built(shared_layers=(0, 0, 0)), built()
    for layer in unshared.layers:
        layer.load_state_dict(shared.layers[0].state_dict())
    unshared.embeddings.load_state_dict(shared.embeddings.state_dict())

    for model in (shared, unshared):
        model(IDS, PACKING).square().sum().backward()

    for name, parameter in shared.layers[0].named_parameters():
        places = [layer.get_parameter(name).grad for layer in unshared.layers]
        torch.testing.assert_close(parameter.grad, torch.stack(places).sum(0))


def test_factorised_embeddings_have_narrow_tables_and_a_projection():
    model = built(embedding_size=3, positions=(LearnedPositions(max_positions=9, padding_id=None),))

    assert model.embeddings.tokens.weight.shape == (11, 3)
    assert model.embeddings.positions.table.weight.shape == (9, 3)
    assert model.embeddings.projection.weight.shape == (8, 3)
    assert model(IDS, PACKING).shape == (7, 8)
    assert built().embeddings.projection is None


def test_heads_may_be_wider_than_their_share_and_share_keys_and_values():
    attention = built(num_heads=4, num_kv_heads=2, head_dim=5).layers[0].attention

    assert attention.query.weight.shape == (20, 8)
    assert attention.key.weight.shape == attention.value.weight.shape == (10, 8)
    assert attention.output.weight.shape == (8, 20)


@pytest.mark.parametrize(("content_to_position", "position_to_content", "terms"), [(True, True, 3), (False, True, 2)])
def test_disentangled_scores_are_scaled_by_the_number_of_their_terms(
    content_to_position: bool, position_to_content: bool, terms: int
):
    """Section 3.1 of the DeBERTa paper: 1/√(3d) where content meets content and both kinds of positions."""
    scheme = DisentangledPositions(
        num_buckets=None,
        max_distance=4,
        content_to_position=content_to_position,
        position_to_content=position_to_content,
        shared_projections=True,
        normalized=False,
    )

    assert built(positions=(scheme,)).layers[0].attention.scale == pytest.approx((terms * 4) ** -0.5)
    assert built().layers[0].attention.scale == 4**-0.5


def test_every_layer_has_a_window_of_its_own():
    model = built(windows=(1, None, 0))

    assert [layer.attention.window for layer in model.layers] == [1, None, 0]


def test_stacked_windows_reach_as_far_as_their_sum():
    model, ids = built(windows=(1, 0, 2)), torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 5])
    hidden = model(ids, Packing.of([9]))

    for place, reached in ((0, False), (1, True), (7, True), (8, False)):
        changed = ids.clone()
        changed[place] = 7
        found = model(changed, Packing.of([9]))
        assert torch.equal(found[4], hidden[4]) != reached


def test_rotary_bases_may_differ_by_layer():
    rotary = RotaryPositions(bases=(100.0, 1e4, 100.0), rotary_dim=4, scaling=1.0)

    assert [layer.attention.rotary.base for layer in built(positions=(rotary,)).layers] == [100.0, 1e4, 100.0]


def test_a_causal_token_is_not_affected_by_those_after_it():
    model, changed = built(causal=True), IDS.clone()
    changed[2] = 8

    before, after = model(IDS, PACKING), model(changed, PACKING)

    torch.testing.assert_close(after[:2], before[:2])
    assert not torch.isclose(after[2:4], before[2:4]).all(dim=1).any()
    torch.testing.assert_close(after[4:], before[4:])


def test_without_positions_the_order_of_tokens_is_not_seen():
    order = torch.tensor([2, 0, 3, 1, 4, 5, 6])
    blind, seeing = built(positions=()), built()

    torch.testing.assert_close(blind(IDS[order], PACKING), blind(IDS, PACKING)[order])
    assert not torch.allclose(seeing(IDS[order], PACKING), seeing(IDS, PACKING)[order])


@pytest.mark.parametrize(
    "scheme",
    [
        SinusoidalPositions(),
        RotaryPositions(bases=(1e4,) * 3, rotary_dim=4, scaling=1.0),
        AlibiPositions(),
        RelativeBiasPositions(num_buckets=8, max_distance=20),
    ],
    ids=lambda scheme: type(scheme).__name__,
)
def test_a_text_may_have_any_length_where_the_positions_allow_it(scheme):
    model = built(positions=(scheme,))

    assert model(torch.arange(700) % 11, Packing.of([700])).isfinite().all()


def test_a_text_past_the_learned_table_is_refused_with_its_length_and_the_longest():
    model = built(positions=(LearnedPositions(max_positions=9, padding_id=None),))

    assert model(torch.arange(11)[:9], Packing.of([9])).shape == (9, 8)
    with pytest.raises(ValueError, match="a sequence of 10 tokens needs position 9, the table has 9"):
        model(torch.arange(11)[:10], Packing.of([10]))


def test_the_first_norm_of_a_pre_norm_encoder_may_be_absent():
    model = built(pre_norm=True, first_attention_norm=False)

    assert not list(model.layers[0].attention_norm.parameters())
    assert [len(list(layer.attention_norm.parameters())) for layer in model.layers] == [0, 2, 2]


def test_the_final_norm_is_over_the_last_layers_output():
    model = built(pre_norm=True, final_norm=True)
    seen = []
    model.layers[2].register_forward_hook(lambda module, given, output: seen.append(output))

    hidden = model(IDS, PACKING)

    torch.testing.assert_close(hidden, torch.nn.functional.layer_norm(seen[0], (8,)))


def test_pre_norm_and_post_norm_are_the_sums_of_their_docstring():
    def step(norm, function, value, pre):
        return value + function(norm(value)) if pre else norm(value + function(value))

    for pre in (False, True):
        layer, hidden = built(pre_norm=pre).layers[0], torch.randn(7, 8, dtype=torch.float64)
        wanted = step(layer.attention_norm, lambda x, a=layer.attention: a(x, PACKING), hidden, pre)
        wanted = step(layer.feed_forward_norm, layer.feed_forward, wanted, pre)

        torch.testing.assert_close(layer(hidden, PACKING), wanted)


@torch.no_grad()
def test_new_weights_have_the_deviation_of_the_spec_or_glorots_bounds():
    normal = EncoderModel(EncoderSpec.original(vocab_size=500, hidden_size=64, num_layers=1, num_heads=2))
    normal.spec = replace(normal.spec, initializer_range=0.02)
    normal.initialize(seed=3)
    assert normal.layers[0].feed_forward.up.weight.std() == pytest.approx(0.02, rel=0.02)
    assert normal.embeddings.tokens.weight.std() == pytest.approx(0.02, rel=0.02)

    glorot = EncoderModel(EncoderSpec.original(vocab_size=500, hidden_size=64, num_layers=1, num_heads=2))
    glorot.initialize(seed=3)
    bound = (6 / (64 + 2048)) ** 0.5
    assert glorot.layers[0].feed_forward.up.weight.abs().max() == pytest.approx(bound, rel=0.01)
    assert glorot.embeddings.tokens.weight.std() == pytest.approx(64**-0.5, rel=0.02)


def test_without_a_seed_new_weights_come_from_torchs_own_generator():
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(built(seed=None))

    assert torch.equal(models[0].embeddings.tokens.weight, models[1].embeddings.tokens.weight)


def test_swapping_the_kernel_touches_every_layer_and_no_weight():
    model = built()
    before = dict(model.state_dict())

    model.use_kernel(reference)

    assert all(layer.attention.kernel is reference for layer in model.layers)
    assert model.state_dict().keys() == before.keys()


def test_an_encoder_without_layers_is_its_embeddings():
    model = built(windows=(), shared_layers=())

    assert torch.equal(model(IDS, PACKING), model.embeddings(IDS, PACKING))
