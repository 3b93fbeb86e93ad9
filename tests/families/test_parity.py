"""Every family computes what the reference library computes: values, gradients, and where dropout falls."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from oracles.carrying import Pair, filled, layout_of, read_folder
from oracles.tiny import ORACLES, Batch, batches, reference_hidden
from vitrail.checkpoints.weight_map import publish
from vitrail.layers import dropout
from vitrail.layers.kernels import KERNELS
from vitrail.layers.positions.disentangled import logarithmic_buckets
from vitrail.layers.positions.relative_bias import distance_buckets
from vitrail.models import EncoderModel
from vitrail.models.padded import run_padded


def suits(model: EncoderModel, batch: Batch) -> bool:
    return batch.token_type_ids is None or model.spec.num_token_types > 1


def our_hidden(model: EncoderModel, batch: Batch) -> Tensor:
    return run_padded(model, batch.input_ids, batch.attention_mask, batch.token_type_ids)


@pytest.mark.parametrize("kernel", KERNELS)
def test_hidden_states_equal_the_reference_s_however_the_rows_are_padded(pair: Pair, kernel: str):
    pair.ours.use_kernel(KERNELS[kernel])
    for name, batch in batches(pair.padding_id).items():
        if not suits(pair.ours, batch):
            continue
        with torch.no_grad():
            found, wanted = our_hidden(pair.ours, batch), reference_hidden(pair.reference, batch)

        assert wanted.abs().max() > 0.5
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", [name for name, oracle in ORACLES.items() if oracle.float64])
def test_hidden_states_equal_the_reference_s_to_ten_digits_in_float64(name: str, pair_of: Callable[[str], Pair]):
    reference = ORACLES[name].build().double()
    pair = pair_of(name)
    ours, _ = filled(pair.family, pair.ours.spec, reference.state_dict())
    ours.load_state_dict({key: value.double() for key, value in ours.state_dict().items()}, assign=True)
    batch = batches(pair.padding_id)["holes in the mask"]

    with torch.no_grad():
        torch.testing.assert_close(our_hidden(ours, batch), reference_hidden(reference, batch), atol=1e-10, rtol=0)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_gradient_of_every_parameter_equals_the_reference_s(pair: Pair, mode: str):
    batch = batches(pair.padding_id)["padding ids that are not masked"]
    weights = torch.randn(*batch.input_ids.shape, 24, generator=torch.Generator().manual_seed(2))
    for model in (pair.reference, pair.ours):
        model.train(mode == "train").zero_grad()

    (reference_hidden(pair.reference, batch) * weights).sum().backward()
    (our_hidden(pair.ours, batch) * weights).sum().backward()
    for model in (pair.reference, pair.ours):
        model.eval()

    wanted = gradients(pair.reference)
    layout = layout_of(pair.family, pair.ours, list(wanted))
    found = publish(layout, gradients(pair.ours), pair.ours.spec.shared_layers)
    compared = {name for name in wanted if "pooler" not in name}
    assert found.keys() == compared
    # some gradients are 0 but for rounding (a bias of keys moves all scores of a query alike)
    rounding = 1e-6 * max(float(gradient.norm()) for gradient in wanted.values())
    off = {name: float((found[name] - wanted[name]).norm()) for name in compared}
    assert {name: value for name, value in off.items() if value > 1e-4 * float(wanted[name].norm()) + rounding} == {}


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }


def test_dropout_falls_in_the_places_where_the_reference_has_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Dropout is replaced by a pattern that depends on its probability and on the place of each value, the same in a
    stream and in a rectangle of one row; then the two models agree only if they drop the same things.
    """
    reference = ORACLES[pair.name].build(dropout=True)
    reference.save_pretrained(tmp_path)
    family, spec, _, tensors = read_folder(tmp_path)
    ours, _ = filled(family, spec, tensors)
    ours.use_kernel(KERNELS["reference"])
    batch = Batch(batches(pair.padding_id)["no mask"].input_ids[:1], None)

    def pattern(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return input * (1 + p * torch.arange(input.numel()).sin().view(input.shape)) if training else input

    def factors(count: int, probability: float, *, like: Tensor) -> Tensor:
        return pattern(like.new_ones(count), probability)

    with torch.no_grad():
        plain = our_hidden(ours, batch)
        monkeypatch.setattr(torch.nn.functional, "dropout", pattern)
        monkeypatch.setattr(dropout, "kept", factors)
        found, wanted = our_hidden(ours.train(), batch), reference_hidden(reference.train(), batch)

    assert (found - plain).abs().max() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_every_distance_falls_in_the_bucket_where_the_reference_puts_it():
    distance = torch.arange(-2000, 2001)

    mpnet = distance_buckets(distance, num_buckets=32, max_distance=128)
    assert torch.equal(mpnet, MPNetEncoder.relative_position_bucket(distance))
    for num_buckets, max_distance in ((256, 512), (64, 512), (8, 23)):
        deberta = logarithmic_buckets(distance, num_buckets=num_buckets, max_distance=max_distance)
        assert torch.equal(deberta, make_log_bucket_position(distance, num_buckets, max_distance).long())
