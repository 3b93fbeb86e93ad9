"""vitrail's own format holds any encoder, and refuses what it does not know."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given

from oracles.carrying import filled
from strategies import encoder_specs, some
from vitrail.checkpoints.weight_map import publish
from vitrail.errors import CheckpointError, UnsupportedModel
from vitrail.families import Config, config_of, own, spec_of
from vitrail.layers.packing import Packing
from vitrail.models import EncoderModel, EncoderSpec, RotaryPositions

SPEC = EncoderSpec.original(vocab_size=11, hidden_size=6, num_layers=2, num_heads=3, intermediate_size=7)


def through_json(spec: EncoderSpec) -> dict[str, Any]:
    return json.loads(json.dumps(config_of(own.FAMILY, spec)))


@some(50)
@given(spec=encoder_specs())
def test_any_spec_comes_back_from_its_file(spec: EncoderSpec):
    assert spec_of(own.FAMILY, Config(through_json(spec))) == spec


@some(15)
@given(spec=encoder_specs())
def test_any_encoder_comes_back_from_its_tensors(spec: EncoderSpec):
    model = EncoderModel(spec)
    model.initialize(seed=3)
    tensors = publish(own.FAMILY.weights[0], dict(model.named_parameters()), spec.shared_layers)

    back, plan = filled(own.FAMILY, spec, tensors)

    ids, packing = torch.tensor([3, 7, 2, 9]), Packing.of([3, 1])
    torch.testing.assert_close(back(ids, packing), model.eval()(ids, packing), rtol=0, atol=0)
    assert plan.unused == ()


def test_the_file_reads_as_the_docstring_shows_it():
    rotary = RotaryPositions(bases=(100.0, 10.0), rotary_dim=2, scaling=1.0, trained_length=9)
    values = through_json(replace(SPEC, positions=(rotary,)))

    assert (values["model_type"], values["format_version"]) == ("vitrail", 1)
    assert values["spec"]["positions"] == [
        {"kind": "rotary", "bases": [100.0, 10.0], "rotary_dim": 2, "scaling": 1.0, "trained_length": 9}
    ]
    assert values["spec"]["hidden_size"] == 6
    assert values["spec"]["dropout"]["embeddings"] == 0.1


@pytest.mark.parametrize(
    ("place", "change", "error", "message"),
    [
        ((), {"format_version": 2}, UnsupportedModel, "format version 2 of vitrail; this release reads 1"),
        (("spec",), {"depth": 3}, CheckpointError, "has an unknown 'depth' in its EncoderSpec"),
        (("spec", "dropout"), {"words": 0.1}, CheckpointError, "has an unknown 'words' in its DropoutSpec"),
        (("spec", "positions", 0), {"kind": "spiral"}, UnsupportedModel, "position scheme 'spiral' is unknown"),
        (("spec", "positions", 0), {"base": 3}, CheckpointError, "has an unknown 'base' in its SinusoidalPositions"),
        (("spec",), {"hidden_size": -1}, CheckpointError, "hidden_size must be at least 1, got -1"),
        ((), {"spec": 7}, CheckpointError, "describes no encoder"),
    ],
)
def test_what_the_format_does_not_know_is_refused(
    place: tuple[Any, ...], change: dict[str, Any], error: type[Exception], message: str
):
    values = through_json(SPEC)
    part: Any = values
    for step in place:
        part = part[step]
    part.update(change)

    with pytest.raises(error, match=message):
        spec_of(own.FAMILY, Config(values))


def test_an_option_that_is_missing_is_not_guessed():
    values = through_json(SPEC)
    del values["spec"]["gated"]

    with pytest.raises(CheckpointError, match="lacks 'gated' in its EncoderSpec"):
        spec_of(own.FAMILY, Config(values))
