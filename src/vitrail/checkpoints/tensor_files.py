"""The tensors of one model on disk: a safetensors file, or several with an index.

Headers are checked first (headers.py), so that every damaged file is a `DamagedFile` that says where; the bytes are
then read through the safetensors library. Pickle is refused: reading it can run code, whatever the reader's settings.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitrail.checkpoints.config_files import read_json, write_json
from vitrail.checkpoints.digests import file_sha256
from vitrail.checkpoints.headers import Entries, damaged, read_header
from vitrail.checkpoints.replacing import replacing
from vitrail.errors import DamagedFile, ModelNotFound, UnsafeFile

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_ENDINGS = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})


class TensorFiles:
    """The opened safetensors files of one model; `read` fetches one tensor, nothing is read before."""

    def __init__(self, files: Mapping[Path, Entries]):
        self._opened = {path: _open_checked(path) for path in files}
        self._file_of = {name: path for path, entries in files.items() for name in entries}
        self.dtypes: Mapping[str, torch.dtype] = {n: d for entries in files.values() for n, (d, _) in entries.items()}
        self.shapes: Mapping[str, tuple[int, ...]] = {
            n: shape for entries in files.values() for n, (_, shape) in entries.items()
        }

    @classmethod
    def open(cls, folder: Path) -> "TensorFiles":
        """Open `model.safetensors`, or the shards its index names, and check every header."""
        single, index = folder / SINGLE_FILE, folder / INDEX_FILE
        if single.is_file():
            return cls({single: read_header(single)})
        if index.is_file():
            return cls(_read_index(folder, index))
        _refuse_folder(folder)

    def read(self, name: str) -> Tensor:
        """One tensor on the CPU, in the dtype of the file."""
        path = self._file_of[name]
        try:
            return self._opened[path].get_tensor(name)
        except SafetensorError as error:
            raise DamagedFile(f"{path}: tensor {name!r} cannot be read ({error}). Download it again.") from error

    def sha256(self) -> str:
        """Of the file's bytes; for shards, of their digests (32 bytes each) one after the other by file name."""
        digests = [file_sha256(path) for path in sorted(self._opened)]
        return digests[0] if len(digests) == 1 else hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()

    def close(self) -> None:
        """Let go of the files. Tensors already read stay."""
        self._opened.clear()

    def __enter__(self) -> "TensorFiles":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int = 5_000_000_000) -> None:
    """Write `model.safetensors`, or shards of at most `max_shard_bytes` (or one tensor) and their index.

    Each file appears whole or not at all. Tensors that share memory are written out once for each name. What an earlier
    save left under these names is removed at the end.
    """
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > max_shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [SINGLE_FILE]
    for name, shard in zip(names, shards, strict=True):
        with replacing(folder / name) as partial:
            save_file(_with_own_memory(shard), partial, metadata={"format": "pt"})
    if len(shards) > 1:
        weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        total_size = sum(tensor.nbytes for tensor in tensors.values())
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": total_size}, "weight_map": weight_map})
        names.append(INDEX_FILE)
    for stale in {folder / SINGLE_FILE, folder / INDEX_FILE, *folder.glob("model-*-of-*.safetensors")}:
        if stale.name not in names:
            stale.unlink(missing_ok=True)


def _open_checked(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise DamagedFile(f"{path} cannot be read ({error}). Download it again.") from error


def _read_index(folder: Path, index: Path) -> dict[Path, Entries]:
    """The shards an index names, with their headers. Index and shards must agree on every name."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        damaged(index, "it has no weight_map")
    shards = {str(file): _shard_path(folder, index, file) for file in weight_map.values()}
    files = {path: read_header(path) for _, path in sorted(shards.items())}
    for name, file in weight_map.items():
        if name not in files[shards[file]]:
            damaged(index, f"it places tensor {name!r} in {file}, which does not hold it")
    for path, entries in files.items():
        for name in entries:
            if weight_map.get(name) != path.name:
                damaged(index, f"{path.name} holds tensor {name!r}, which the index does not place there")
    return files


def _shard_path(folder: Path, index: Path, file: object) -> Path:
    """A shard stands beside its index; the one link out of the folder that is followed is the hub cache's own."""
    if not isinstance(file, str) or Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
        damaged(index, f"it names {str(file)[:80]!r}, which is not the plain name of a safetensors file")
    path = folder / file
    if not path.is_file():
        raise DamagedFile(f"{path} is missing, though {index.name} names it. Download the model again.")
    home, target = folder.resolve(), path.resolve()
    blobs = [parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"]
    if target.parent != home and target.parent not in blobs:
        damaged(index, f"it names {file}, a link out of the folder (to {target})")
    return path


def _with_own_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors no two of which share storage, as the file format wants them."""
    taken: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor
    return result


def _refuse_folder(folder: Path) -> NoReturn:
    """Say why a folder without safetensors cannot be opened."""
    pickles = sorted(file.name for file in _files(folder) if file.suffix in PICKLE_ENDINGS)
    if pickles:
        raise UnsafeFile(
            f"{folder} has its weights only as pickle ({', '.join(pickles[:3])}), which can run code when it is read. "
            "It was not opened. Use a revision with model.safetensors, or convert it where you trust the file "
            "(transformers: AutoModel.from_pretrained(…).save_pretrained(folder))."
        )
    raise ModelNotFound(f"{folder} holds no {SINGLE_FILE} and no {INDEX_FILE}. Is it the folder of a model?")


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
