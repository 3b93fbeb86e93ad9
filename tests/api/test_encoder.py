"""The Encoder as a module: gradients, modes, weights that change, points that are listened to, folders written."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from tests.api.sentences import SENTENCES
from torch import nn

import vitrail
from vitrail.backends.inference import NATIVE, TORCH
from vitrail.errors import ExportError
from vitrail.layers.taps import LAYER_POINTS


@pytest.fixture
def encoder(minilm_folder: Path) -> vitrail.Encoder:
    return vitrail.load(minilm_folder, device="cpu")


def test_hidden_states_of_the_real_minilm_are_the_reference_librarys(minilm: vitrail.Encoder, minilm_folder: Path):
    oracle = transformers.AutoModel.from_pretrained(minilm_folder).eval()
    batch = transformers.AutoTokenizer.from_pretrained(minilm_folder)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = oracle(**batch).last_hidden_state * batch["attention_mask"].unsqueeze(-1)
        ours = minilm(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    assert (ours - theirs).abs().max() <= 1e-5


def test_it_is_part_of_a_model_of_your_own(encoder: vitrail.Encoder):
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = encoder
            self.head = nn.Linear(384, 2)

    model = Classifier()
    assert "bert.model.layers.0.attention.query.weight" in model.state_dict()
    logits = model.head(model.bert(torch.tensor([[101, 2023, 102]]))[:, 0])
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.model.layers.parameters())


def test_changed_weights_are_noticed(encoder: vitrail.Encoder):
    before = encoder.embed("text")
    digest = encoder.weights_sha256
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    encoder(torch.tensor([[101, 2023, 102]])).square().sum().backward()
    optimizer.step()
    after = encoder.embed("text")
    assert not np.allclose(before, after, atol=1e-3)
    assert encoder.weights_sha256 != digest
    with torch.no_grad():
        hidden = encoder(torch.from_numpy(encoder.tokens(["text"])[0].ids)[None])[0].mean(0)
    np.testing.assert_allclose(after, nn.functional.normalize(hidden, dim=0).numpy(), atol=1e-5)


def test_embedding_while_training_uses_no_dropout_and_training_goes_on(encoder: vitrail.Encoder):
    expected = encoder.embed("text")
    encoder.train()
    np.testing.assert_allclose(encoder.embed("text"), expected, atol=1e-6)
    assert encoder.training
    assert all(module.training for module in encoder.modules())
    ids = torch.tensor([[101, 2023, 102]])
    assert not torch.equal(encoder(ids), encoder(ids))


def test_whoever_listens_at_a_point_is_heard(encoder: vitrail.Encoder):
    assert encoder.runtime["backend"].startswith(NATIVE)
    expected = encoder.embed("text")
    seen = {}
    handles = [
        encoder.model.get_submodule(f"layers.3.{point}").register_forward_hook(
            lambda module, inputs, output, point=point: seen.__setitem__(point, tuple(output.shape))
        )
        for point in LAYER_POINTS
    ]
    assert encoder.runtime["backend"].startswith(TORCH)
    assert "listens" in encoder.runtime["backend"]
    np.testing.assert_allclose(encoder.embed("text"), expected, atol=1e-5)
    assert set(seen) == set(LAYER_POINTS)
    for handle in handles:
        handle.remove()
    assert encoder.runtime["backend"].startswith(NATIVE)


def test_it_can_be_copied_and_pickled(encoder: vitrail.Encoder):
    expected = encoder.embed("text")
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(twin.embed("text"), expected)


def test_saved_and_loaded_is_equal_bit_for_bit_and_opens_elsewhere(encoder: vitrail.Encoder, tmp_path: Path):
    encoder.save(tmp_path / "model")
    again = vitrail.load(tmp_path / "model", device="cpu")
    for (name, ours), (_, theirs) in zip(encoder.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name
    assert again.max_length == encoder.max_length
    np.testing.assert_array_equal(again.embed(SENTENCES), encoder.embed(SENTENCES))
    rival = SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(rival.encode(SENTENCES), encoder.embed(SENTENCES), atol=2e-6)
    oracle = transformers.AutoModel.from_pretrained(tmp_path / "model").eval()
    ids = torch.tensor([[101, 2023, 2003, 102]])
    torch.testing.assert_close(oracle(ids).last_hidden_state, encoder(ids), atol=1e-5, rtol=0)


def test_an_encoder_built_from_a_spec_trains_saves_and_loads(tmp_path: Path, encoder: vitrail.Encoder):
    spec = vitrail.EncoderSpec.original(
        vocab_size=encoder.tokenizer.vocab_size, hidden_size=20, num_layers=2, num_heads=4, intermediate_size=30
    )
    torch.manual_seed(0)
    built = vitrail.Encoder.from_spec(spec, encoder.tokenizer, seed=7)
    assert built.training
    ids = torch.tensor([[5, 6, 7, 8]])
    optimizer = torch.optim.Adam(built.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = built(ids).sub(1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    with pytest.raises(ExportError, match="no counterpart"):
        built.save(tmp_path / "built", format="transformers")
    built.save(tmp_path / "built")
    again = vitrail.load(tmp_path / "built", device="cpu")
    assert again.spec == spec
    np.testing.assert_array_equal(again.embed(SENTENCES[:3]), built.embed(SENTENCES[:3]))


def test_from_spec_refuses_a_tokenizer_with_more_tokens_than_the_table(encoder: vitrail.Encoder):
    spec = vitrail.EncoderSpec.original(vocab_size=100, hidden_size=8, num_heads=2)
    with pytest.raises(ValueError, match="30522"):
        vitrail.Encoder.from_spec(spec, encoder.tokenizer)
