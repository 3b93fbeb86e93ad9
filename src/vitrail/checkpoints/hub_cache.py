"""The hub's cache on this disk, read without the hub's library and without a network.

Layout: `models--OWNER--NAME/refs/BRANCH` holds a commit hash, `snapshots/COMMIT/` the files of that commit as links to
`blobs/`, `trees/COMMIT.json` (if written) the listing of all files of the commit.
"""

import fnmatch
import os
import re
from pathlib import Path

from vitrail.checkpoints.config_files import read_json, read_json_value
from vitrail.errors import DamagedFile

# What of a repository vitrail may read, and what lies beside it for other runtimes.
WANTED_FILES = ("*.safetensors", "*.json", "*.txt", "README.md", "LICENSE*")
UNWANTED_FILES = ("onnx/*", "openvino/*", "coreml/*", "*.fp16.safetensors")

# Models that the hub served under a bare name before every model had an owner.
OWNERS_OF_BARE_NAMES = {
    "bert-": "google-bert",
    "roberta-": "FacebookAI",
    "xlm-roberta-": "FacebookAI",
    "distilbert-": "distilbert",
    "distilroberta-": "distilbert",
    "albert-": "albert",
    "camembert-": "almanach",
}

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_folder() -> Path:
    """Where the hub's library keeps models, by the variables it reads, at the moment of the call."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    return Path(os.path.expandvars(hub)).expanduser()


def is_hub_name(name: str) -> bool:
    """`owner/name`, or a bare `name`: nothing that could leave the cache folder."""
    return _NAME.fullmatch(name) is not None and ".." not in name and "--" not in name


def is_revision(revision: str) -> bool:
    """A branch, tag or commit: nothing that could leave the cache folder."""
    return _REVISION.fullmatch(revision) is not None and ".." not in revision


def is_commit(revision: str | None) -> bool:
    """A full commit hash, which names the same bytes for ever."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of that model and revision (default `main`) in the cache, whole or not; None when there is none."""
    for spelling in _spellings(name):
        repository = cache_folder() / f"models--{spelling.replace('/', '--')}"
        commit = revision if is_commit(revision) else _read_ref(repository / "refs" / (revision or "main"))
        if commit is not None and (snapshot := repository / "snapshots" / commit).is_dir():
            return snapshot
    return None


def missing_files(snapshot: Path) -> list[str]:
    """Files without which the model cannot be opened that are not there: the cache is half written."""
    listing = _listing(snapshot)
    if listing is not None:
        return [file for file in listing if not (snapshot / file).is_file()]
    links = [file.relative_to(snapshot) for file in snapshot.rglob("*") if file.is_symlink() and not file.exists()]
    missing = {file.as_posix() for file in links if wanted(file)}
    encoder = _encoder_folder(snapshot)
    if encoder is not None:
        missing |= {(encoder / file).as_posix() for file in _missing_of_encoder(snapshot / encoder)}
    return sorted(missing)


def is_proven_whole(snapshot: Path) -> bool:
    """The cache holds a listing of all files of the commit, and every one that is wanted is there."""
    return _listing(snapshot) is not None and not missing_files(snapshot)


def was_interrupted(snapshot: Path) -> bool:
    """A download into this repository of the cache was cut off."""
    return any((snapshot.parent.parent / "blobs").glob("*.incomplete"))


def wanted(file: Path) -> bool:
    """Whether vitrail may need this file of a repository; the hub's library is asked for the same ones."""
    name = file.as_posix()
    return any(fnmatch.fnmatch(name, pattern) for pattern in WANTED_FILES) and not any(
        fnmatch.fnmatch(name, pattern) for pattern in UNWANTED_FILES
    )


def _spellings(name: str) -> list[str]:
    """The name as given, then its other form where the hub knows the model with and without an owner."""
    owner, _, bare = name.rpartition("/")
    for prefix, known_owner in OWNERS_OF_BARE_NAMES.items():
        if bare.startswith(prefix) and owner in ("", known_owner):
            return [name, bare if owner else f"{known_owner}/{bare}"]
    return [name]


def _read_ref(path: Path) -> str | None:
    try:
        commit = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    except UnicodeDecodeError:
        commit = ""
    if not is_commit(commit):
        raise DamagedFile(f"{path} does not hold a commit hash. Delete it and run `vitrail download` again.")
    return commit


def _encoder_folder(snapshot: Path) -> Path | None:
    """Where in the snapshot the Transformer stands; None for a sentence-transformers model that begins otherwise."""
    if not (snapshot / "modules.json").is_file():
        return Path()
    modules = read_json_value(snapshot / "modules.json")
    first = modules[0] if isinstance(modules, list) and modules else None
    if not isinstance(first, dict) or not str(first.get("type")).endswith("Transformer"):
        return None
    return Path(str(first.get("path", "")))


def _missing_of_encoder(folder: Path) -> set[str]:
    missing = set() if (folder / "config.json").is_file() else {"config.json"}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        shards = {str(file) for file in weight_map.values()} if isinstance(weight_map, dict) else set()
        missing |= {file for file in shards if not (folder / file).is_file()}
    elif not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        missing.add("model.safetensors")
    return missing


def _listing(snapshot: Path) -> list[str] | None:
    """The wanted files of the commit, by the listing the hub's library keeps; None when it kept none."""
    path = snapshot.parent.parent / "trees" / f"{snapshot.name}.json"
    files = read_json(path).get("files") if path.is_file() else None
    return [file for file in files if wanted(Path(file))] if isinstance(files, dict) else None
