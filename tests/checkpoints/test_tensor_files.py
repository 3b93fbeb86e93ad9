"""Safetensors: what is whole is read as it was written, what is damaged is named, what is pickle is refused."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from vitrail.checkpoints.headers import DTYPES
from vitrail.checkpoints.tensor_files import TensorFiles, write_tensors
from vitrail.errors import CheckpointError, DamagedFile, ModelNotFound, UnsafeFile

TENSORS = {
    "matrix": torch.arange(6, dtype=torch.float32).view(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "nothing": torch.empty(0, 4),
}


def write_raw(folder: Path, header: object, body: bytes = b"", name: str = "model.safetensors") -> Path:
    """A safetensors file with any header, right or wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(content)) + content + body)
    return folder


def entry(begin: int, end: int, *, dtype: str = "U8", shape: list[object] | None = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def test_tensors_come_back_with_their_names_shapes_and_dtypes(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")

    with TensorFiles.open(tmp_path) as files:
        assert files.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
        assert files.dtypes == {name: tensor.dtype for name, tensor in TENSORS.items()}
        for name, tensor in TENSORS.items():
            torch.testing.assert_close(files.read(name), tensor, rtol=0, atol=0)


def test_every_dtype_of_the_format_that_torch_has_is_read_back(tmp_path):
    tensors = {name: torch.zeros(2, 3).to(dtype) for name, dtype in DTYPES.items()}

    write_tensors(tmp_path, tensors)

    with TensorFiles.open(tmp_path) as files:
        assert files.dtypes == DTYPES
        for name in DTYPES:
            assert torch.equal(files.read(name).view(torch.uint8), tensors[name].view(torch.uint8))


def test_the_real_default_model_is_opened(minilm_folder):
    with TensorFiles.open(minilm_folder) as files:
        assert files.shapes["embeddings.word_embeddings.weight"] == (30522, 384)
        assert sum(torch.Size(shape).numel() for shape in files.shapes.values()) > 22_000_000
        assert files.sha256() == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_the_digest_of_a_single_file_is_that_of_its_bytes_and_of_shards_that_of_their_digests(tmp_path):
    write_tensors(tmp_path / "one", TENSORS)
    write_tensors(tmp_path / "many", TENSORS, max_shard_bytes=10)

    one = hashlib.sha256((tmp_path / "one/model.safetensors").read_bytes())
    many = hashlib.sha256()
    for shard in sorted((tmp_path / "many").glob("*.safetensors")):
        many.update(hashlib.sha256(shard.read_bytes()).digest())

    assert TensorFiles.open(tmp_path / "one").sha256() == one.hexdigest()
    assert TensorFiles.open(tmp_path / "many").sha256() == many.hexdigest()


def test_a_changed_file_has_another_digest(tmp_path):
    write_tensors(tmp_path, {"weight": torch.zeros(2)})
    before = TensorFiles.open(tmp_path).sha256()

    write_tensors(tmp_path, {"weight": torch.ones(2)})

    assert TensorFiles.open(tmp_path).sha256() != before


def test_shards_are_written_within_their_size_with_an_index_and_read_back(tmp_path):
    tensors = {f"layer.{number}": torch.full((number + 1, 5), float(number)) for number in range(6)}

    write_tensors(tmp_path, tensors, max_shard_bytes=200)

    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    assert set(index["weight_map"]) == set(tensors)
    for shard in set(index["weight_map"].values()):
        held = load_file(tmp_path / shard)
        assert sum(tensor.nbytes for tensor in held.values()) <= 200
    with TensorFiles.open(tmp_path) as files:
        assert files.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            assert torch.equal(files.read(name), tensor)


def test_a_later_save_leaves_nothing_of_an_earlier_one(tmp_path):
    for limit, files in [(10, 4), (10**9, 1), (10, 4), (30, 2)]:
        write_tensors(tmp_path, {str(i): torch.full((2,), float(limit)) for i in range(4)}, max_shard_bytes=limit)

        assert len(list(tmp_path.glob("*.safetensors"))) == files
        assert (tmp_path / "model.safetensors.index.json").exists() == (files > 1)
        assert TensorFiles.open(tmp_path).read("3").tolist() == [limit, limit]


def test_tensors_that_share_memory_are_each_written_whole(tmp_path):
    table = torch.arange(12.0).view(3, 4)
    tensors = {"table": table, "tied": table, "row": table[1], "transposed": table.T}

    write_tensors(tmp_path, tensors)

    with TensorFiles.open(tmp_path) as files:
        for name, tensor in tensors.items():
            assert torch.equal(files.read(name), tensor)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_tensors(tmp_path, {"weight": torch.zeros(2)})

    def full_disk(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("vitrail.checkpoints.tensor_files.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_tensors(tmp_path, {"weight": torch.ones(2)})

    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    assert TensorFiles.open(tmp_path).read("weight").tolist() == [0, 0]


def test_what_is_written_may_be_read_by_whom_any_new_file_may(tmp_path):
    (tmp_path / "any").touch()
    write_tensors(tmp_path, TENSORS)

    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_what_is_written_says_that_it_comes_from_torch_as_transformers_asks(tmp_path):
    write_tensors(tmp_path, TENSORS)

    content = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert header["__metadata__"] == {"format": "pt"}


@pytest.mark.parametrize(
    ("header", "body", "what"),
    [
        (b"", b"", "not JSON"),
        (b"[]", b"", "not JSON"),
        (b'{"a":', b"", "not valid JSON"),
        (b'{"a\xff": 1}', b"", "not valid JSON"),
        (b"{" + b'"a":[' * 100_000, b"", "not valid JSON"),
        (b'{"a":1' + b"0" * 5_000 + b"}", b"", "not valid JSON"),
        (b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}', b"", "twice"),
        ({"a": 1}, b"", "must give dtype, shape and data_offsets"),
        ({"a": {"dtype": "U8", "shape": []}}, b"", "must give dtype, shape and data_offsets"),
        ({"a": entry(0, 4, dtype="pickle")}, b"1234", "unknown dtype 'pickle'"),
        ({"a": entry(0, 4, shape=[-4])}, b"1234", "impossible shape"),
        ({"a": entry(0, 4, shape=[True, 4])}, b"1234", "impossible shape"),
        ({"a": entry(0, 4, shape=[4.0])}, b"1234", "impossible shape"),
        ({"a": entry(4, 0, shape=[0])}, b"1234", "impossible offsets"),
        ({"a": entry(0, 4, shape=[2**62, 2**62])}, b"1234", "needs"),
        ({"a": entry(0, 4, dtype="F32", shape=[2])}, b"1234", "needs 8 bytes and is given 4"),
        ({"a": entry(0, 4), "b": entry(2, 6)}, b"123456", "begins at byte 2, but the one before it ends at 4"),
        ({"a": entry(0, 2), "b": entry(4, 6)}, b"123456", "begins at byte 4"),
        ({"a": entry(0, 8)}, b"1234", "take 8 bytes, the file holds 4"),
        ({"a": entry(0, 4)}, b"12345", "take 4 bytes, the file holds 5"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
    ],
)
def test_a_header_that_lies_is_refused_with_the_file_named(tmp_path, header, body, what):
    write_raw(tmp_path, header, body)

    with pytest.raises(DamagedFile, match=what) as caught:
        TensorFiles.open(tmp_path)
    assert str(tmp_path / "model.safetensors") in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"1234567", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_a_file_too_short_for_its_header_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(DamagedFile, match="cut off"):
        TensorFiles.open(tmp_path)


def test_a_header_above_the_limit_is_refused_unread(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 200_000_000))
        file.truncate(300_000_000)  # sparse: no such bytes are written

    with pytest.raises(DamagedFile, match="more than the limit"):
        TensorFiles.open(tmp_path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_damaged_anywhere_gives_the_same_tensors_or_a_damaged_file(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    write_tensors(folder, TENSORS)
    path = folder / "model.safetensors"
    whole = bytearray(path.read_bytes())
    body = 8 + struct.unpack("<Q", whole[:8])[0]
    if data.draw(st.booleans(), label="cut"):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        damaged = bytearray(whole)
        for place in data.draw(st.lists(st.integers(0, body - 1), min_size=1, max_size=4)):
            damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)

    try:
        with TensorFiles.open(folder) as files:
            read = {name: files.read(name) for name in files.shapes}
    except DamagedFile:
        return
    # A flipped header byte may rename a tensor or change its type to one of the same size: never its bytes.
    given_bytes = b"".join(bytes(tensor.contiguous().view(-1).view(torch.uint8)) for tensor in read.values())
    assert given_bytes == bytes(whole[body:])
    assert all(files.shapes[name] == tuple(tensor.shape) for name, tensor in read.items())


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    "shard",
    ["../secret.safetensors", "/etc/secret.safetensors", "sub/a.safetensors", "..\\a.safetensors", "..", "a.bin", 3],
)
def test_an_index_may_name_only_plain_files_of_its_own_folder(tmp_path, shard):
    folder = tmp_path / "model"
    save_file({"weight": torch.zeros(2)}, tmp_path / "secret.safetensors")
    folder.mkdir()
    write_index(folder, {"weight": shard})

    with pytest.raises(DamagedFile, match=r"index\.json: it names .* not the plain name"):
        TensorFiles.open(folder)


def test_a_shard_that_is_not_there_is_named(tmp_path):
    write_tensors(tmp_path, TENSORS, max_shard_bytes=10)
    lost = sorted(tmp_path.glob("model-*"))[0]
    lost.unlink()

    with pytest.raises(DamagedFile, match=f"{lost.name} is missing"):
        TensorFiles.open(tmp_path)


@pytest.mark.parametrize(
    "weight_map", [None, {}, [], {"weight": "a.safetensors", "extra": "a.safetensors"}, {"other": "a.safetensors"}]
)
def test_an_index_that_does_not_agree_with_its_shards_is_refused(tmp_path, weight_map):
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    write_index(tmp_path, weight_map)

    with pytest.raises(DamagedFile, match=r"index\.json"):
        TensorFiles.open(tmp_path)


def test_a_tensor_that_the_index_leaves_out_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2), "hidden": torch.zeros(2)}, tmp_path / "a.safetensors")
    write_index(tmp_path, {"weight": "a.safetensors"})

    with pytest.raises(DamagedFile, match="holds tensor 'hidden'"):
        TensorFiles.open(tmp_path)


def test_a_shard_that_links_out_of_its_folder_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"weight": torch.zeros(2)}, tmp_path / "elsewhere.safetensors")
    (folder / "a.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    write_index(folder, {"weight": "a.safetensors"})

    with pytest.raises(DamagedFile, match="a link out of the folder"):
        TensorFiles.open(folder)


def test_the_links_of_the_hub_cache_are_followed_within_one_repository_only(tmp_path):
    ours, theirs = tmp_path / "models--a--b", tmp_path / "models--c--d"
    for repository in (ours, theirs):
        (repository / "blobs").mkdir(parents=True)
        save_file({"weight": torch.zeros(2)}, repository / "blobs" / "0123")
    snapshot = ours / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    write_index(snapshot, {"weight": "a.safetensors"})

    (snapshot / "a.safetensors").symlink_to("../../blobs/0123")
    assert TensorFiles.open(snapshot).shapes == {"weight": (2,)}

    (snapshot / "a.safetensors").unlink()
    (snapshot / "a.safetensors").symlink_to("../../../models--c--d/blobs/0123")
    with pytest.raises(DamagedFile, match="a link out of the folder"):
        TensorFiles.open(snapshot)


class Canary:
    """Runs code when it is unpickled: it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "best.ckpt"])
def test_weights_that_are_only_pickle_are_refused_and_nothing_of_them_runs(tmp_path, name):
    canary = tmp_path / "ran"
    (tmp_path / "model").mkdir()
    torch.save({"weight": Canary(canary)}, tmp_path / "model" / name)

    with pytest.raises(UnsafeFile, match=r"only as pickle .*save_pretrained"):
        TensorFiles.open(tmp_path / "model")
    assert not canary.exists()


def test_a_folder_without_weights_and_a_missing_folder_are_not_found(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelNotFound, match=r"holds no model\.safetensors"):
            TensorFiles.open(folder)


def test_a_pickle_named_as_safetensors_is_damaged(tmp_path):
    torch.save({"weight": Canary(tmp_path / "ran")}, tmp_path / "model.safetensors")

    with pytest.raises(CheckpointError):
        TensorFiles.open(tmp_path)
    assert not (tmp_path / "ran").exists()
