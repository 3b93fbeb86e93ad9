"""Groups, schedules and optimisers do what they are called."""

import math

import pytest
import torch

from training.toy import classified, encoder_with, loop_over, weights
from vitrail.training.parameter_groups import parameter_groups
from vitrail.training.schedule import as_steps, learning_rate_factor


def rates_of(encoder, **options) -> dict[str, tuple[float, float]]:
    chosen = {"learning_rate": 1.0, "head_learning_rate": None, "layer_decay": 1.0, "weight_decay": 0.1, **options}
    groups = parameter_groups(encoder, **chosen)
    return {name: (group.learning_rate, group.weight_decay) for group in groups for name in group.names}


def test_norms_and_biases_do_not_decay_and_all_else_does():
    encoder = encoder_with("text-classification")
    decays = {name: decay for name, (_, decay) in rates_of(encoder).items()}

    assert set(decays) == {name for name, _ in encoder.named_parameters()}
    for name, decay in decays.items():
        assert decay == (0.0 if name.endswith("bias") or "norm" in name else 0.1), name


def test_each_layer_learns_at_a_fraction_of_the_rate_of_the_one_above_it():
    rates = {name: rate for name, (rate, _) in rates_of(encoder_with("text-classification"), layer_decay=0.5).items()}

    assert rates["model.layers.1.attention.query.weight"] == 1.0
    assert rates["model.layers.0.attention.query.weight"] == 0.5
    assert rates["model.embeddings.tokens.weight"] == 0.25
    assert {rate for name, rate in rates.items() if name.startswith("task.")} == {1.0}


def test_the_head_has_a_learning_rate_of_its_own():
    rates = rates_of(encoder_with("text-classification"), head_learning_rate=7.0)

    assert {rate for name, (rate, _) in rates.items() if name.startswith("task.")} == {7.0}
    assert {rate for name, (rate, _) in rates.items() if not name.startswith("task.")} == {1.0}


def test_what_is_frozen_keeps_its_values_and_the_rest_moves():
    encoder = encoder_with("text-classification")
    before = weights(encoder)
    loop_over(encoder, classified(16), freeze=("embeddings", "layers.0")).run()

    for name, after in weights(encoder).items():
        assert torch.equal(after, before[name]) == name.startswith(("model.embeddings.", "model.layers.0.")), name


def test_a_pattern_that_freezes_nothing_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"'layer\.0' matches no parameter; there are embeddings, layers\.0"):
        loop_over(encoder_with("text-classification"), classified(8), freeze=("layer.0",))


def test_freezing_everything_is_refused():
    with pytest.raises(ValueError, match="leaves nothing to train"):
        loop_over(encoder_with("text-classification"), classified(8), freeze=("*",))


def test_muon_orthogonalises_the_matrices_of_layers_and_leaves_the_rest_to_adamw():
    encoder = encoder_with("text-classification")
    before = weights(encoder)
    loop_over(encoder, classified(8), name="muon", steps=1, warmup=0, weight_decay=0.0, clip=None).run()
    after = weights(encoder)

    moved = after["model.layers.0.feed_forward.up.weight"] - before["model.layers.0.feed_forward.up.weight"]
    spread = torch.linalg.svdvals(moved)
    assert spread[0] / spread[-2] < 2.5  # nearly all singular values alike, as five Newton–Schulz steps leave them
    assert not torch.equal(after["task.head.output.weight"], before["task.head.output.weight"])


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [("constant", 1.0, 1.0), ("linear", 0.5, 1 / 80), ("cosine", 0.5, None), ("trapezoid", 1.0, 1 / 20)],
)
def test_a_schedule_warms_up_holds_its_shape_and_comes_down(schedule: str, middle: float, last: float | None):
    def factor(step: int) -> float:
        return learning_rate_factor(step, total=100, schedule=schedule, warmup=20, cooldown=20)

    assert [factor(step) for step in range(20)] == [(step + 1) / 21 for step in range(20)]
    assert factor(20) == 1.0
    assert factor(60) == pytest.approx(middle)
    expected = (1 + math.cos(math.pi * 79 / 80)) / 2 if last is None else last
    assert factor(99) == pytest.approx(expected)


def test_amounts_below_one_are_fractions_and_others_are_steps():
    assert (as_steps(0.1, 55), as_steps(0.0, 55), as_steps(1.0, 55), as_steps(30.0, 55)) == (6, 0, 1, 30)
