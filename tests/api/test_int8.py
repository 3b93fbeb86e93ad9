"""`precision="int8"`: chosen by the user, close to float32, said where it cannot be had."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tests.api.sentences import SENTENCES

import vitrail
from vitrail.backends.inference import NATIVE
from vitrail.errors import FallbackWarning


@pytest.fixture(scope="module")
def quantised(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(minilm_folder, precision="int8")


def test_vectors_are_close_to_those_of_float32_and_not_the_same(quantised: vitrail.Encoder, minilm: vitrail.Encoder):
    ours, wanted = quantised.embed(SENTENCES), minilm.embed(SENTENCES)

    cosines = (ours * wanted).sum(1)
    assert cosines.min() >= 0.993
    assert cosines.mean() >= 0.9975
    assert cosines.min() < 0.99999


def test_it_says_what_runs(quantised: vitrail.Encoder, minilm: vitrail.Encoder):
    assert quantised.precision == "int8"
    assert quantised.runtime["backend"].startswith(f"{NATIVE}, int8")
    assert minilm.precision == "float32"
    assert minilm.runtime["backend"].startswith(f"{NATIVE}, float32")


def test_a_text_is_the_same_alone_and_among_neighbours(quantised: vitrail.Encoder):
    together = quantised.embed(SENTENCES)

    for text, vector in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(quantised.embed(text), vector, atol=1e-6)


def test_calling_it_with_ids_is_float32_and_has_gradients(quantised: vitrail.Encoder, minilm: vitrail.Encoder):
    ids = torch.tensor([[101, 2023, 102]])

    hidden = quantised(ids)

    assert torch.equal(hidden, minilm(ids))
    assert hidden.requires_grad


def test_it_stays_int8_when_the_weights_change(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, precision="int8")
    before = encoder.embed("a text")
    with torch.no_grad():
        encoder.model.layers[5].feed_forward.down.weight.mul_(1.5)

    assert encoder.precision == "int8"
    assert not np.allclose(encoder.embed("a text"), before, atol=1e-3)


def test_a_model_the_engine_cannot_run_stays_in_float32_and_a_warning_says_why(tmp_path: Path):
    config = transformers.DebertaV2Config(
        vocab_size=211,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=29,
        pad_token_id=0,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
    )
    transformers.DebertaV2Model(config).save_pretrained(tmp_path)

    with pytest.warns(FallbackWarning, match="runs in float32, not in int8: the model has positions that meet content"):
        encoder = vitrail.load(tmp_path, precision="int8")

    assert encoder.precision == "float32"
    assert "no native engine: the model has positions that meet content" in encoder.runtime["backend"]


def test_half_precision_runs_the_model_itself(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, precision="bfloat16", device="cpu")

    assert encoder.precision == "bfloat16"
    assert "the model is in bfloat16" in encoder.runtime["backend"]


def test_vectors_on_disk_are_kept_apart_by_precision(
    quantised: vitrail.Encoder, minilm: vitrail.Encoder, tmp_path: Path
):
    exact = minilm.embed("a text", cache=tmp_path / "vectors")

    assert not np.array_equal(quantised.embed("a text", cache=tmp_path / "vectors"), exact)
