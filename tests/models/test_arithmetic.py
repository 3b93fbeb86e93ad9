"""The arithmetic of a spec, against the parameters a model has, the products it runs, and the pairs a mask shows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from strategies import encoder_specs, some
from vitrail.layers.kernels import reference
from vitrail.layers.kernels.interface import visible_keys
from vitrail.layers.packing import Packing
from vitrail.layers.pooling import Pooling, PoolingSpec, ProjectionSpec
from vitrail.models import EncoderModel, EncoderSpec
from vitrail.models.arithmetic import (
    activation_values,
    balance_length,
    count_pairs,
    count_parameters,
    count_work,
)

ARTICLE = EncoderSpec.original(vocab_size=50, hidden_size=100, num_layers=1, num_heads=4, intermediate_size=400)


def part_of(name: str) -> str:
    if "norm" in name:
        return "norms"
    return next(part for part in ("attention", "feed_forward", "relation", "embeddings") if part in name.split("."))


@some(60)
@given(spec=encoder_specs())
def test_the_parameters_of_each_part_are_those_the_model_has(spec: EncoderSpec):
    model = EncoderModel.without_storage(spec)
    found = dict.fromkeys(("embeddings", "attention", "feed_forward", "norms", "relation", "pooling"), 0)
    for name, parameter in model.named_parameters():
        found[part_of(name)] += parameter.numel()

    counted = count_parameters(spec)

    assert vars(counted) == found
    assert counted.total == sum(parameter.numel() for parameter in model.parameters())


def test_the_projections_of_pooling_are_counted():
    projections = tuple(
        ProjectionSpec(in_features=100, out_features=7, bias=bias, activation="tanh") for bias in (True, False)
    )
    pooling = PoolingSpec(modes=("mean",), include_prompt=True, projections=projections, normalize=True)

    found = sum(parameter.numel() for parameter in Pooling(pooling).parameters())
    assert count_parameters(ARTICLE, pooling).pooling == found == 101 * 7 + 100 * 7


@some(60)
@given(spec=encoder_specs(), length=st.integers(1, 12))
def test_the_multiply_adds_are_those_that_run(spec: EncoderSpec, length: int):
    # the reference kernel computes every pair and hides some, so here all are visible
    spec = replace(spec, causal=False, windows=(None,) * spec.num_layers)
    model = EncoderModel(spec)
    model.initialize(seed=0)
    model.use_kernel(reference)

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(length, dtype=torch.long), Packing.of([length]))

    assert 2 * count_work(spec, length).total == counter.get_total_flops()


@some(60)
@given(length=st.integers(0, 9), window=st.one_of(st.none(), st.integers(0, 12)), causal=st.booleans())
def test_pairs_are_those_the_mask_shows(length: int, window: int | None, causal: bool):
    columns = torch.arange(length)
    visible = visible_keys(columns, columns, causal=causal, window=window)

    assert count_pairs(length, window, causal) == (length**2 if visible is None else int(visible.sum()))


def test_the_worked_case_of_the_article():
    parameters, work = count_parameters(ARTICLE), count_work(ARTICLE, 5)

    assert parameters.attention + parameters.feed_forward + parameters.norms == 121_300
    assert work.total == 605_000
    assert work.scores_and_mixing == 5_000
    assert balance_length(ARTICLE) == 600
    at_balance = count_work(ARTICLE, 600)
    assert at_balance.scores_and_mixing == at_balance.projections + at_balance.feed_forward == 72_000_000


def test_windows_that_see_little_never_cost_as_much_as_the_linear_layers():
    narrow = replace(ARTICLE, windows=(3,))
    mixed = replace(narrow, windows=(3, None), shared_layers=(0, 1))

    assert balance_length(narrow) is None
    longer = balance_length(mixed)
    assert longer is not None
    assert longer > 1100
    for length, reached in ((longer - 1, False), (longer, True)):
        work = count_work(mixed, length)
        assert (work.scores_and_mixing >= work.projections + work.feed_forward) is reached


@pytest.mark.parametrize("gated", [False, True])
def test_the_memory_of_a_pass_is_about_what_the_formula_says(gated: bool):
    spec = replace(ARTICLE, gated=gated, hidden_size=96, embedding_size=96, head_dim=24, activation="gelu")
    spec = replace(spec, shared_layers=(0, 1, 2), windows=(None,) * 3)
    model = EncoderModel(spec)
    model.initialize(seed=0)
    model.eval()
    packing, ids = Packing.of([16] * 32), torch.zeros(512, dtype=torch.long)

    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        model(ids, packing)

    used, most = 0, 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            used += event.nbytes()
            most = max(most, used)
    assert 0.8 < most / (4 * activation_values(spec, 512)) < 1.25
