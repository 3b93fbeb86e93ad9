"""The folder of a sentence-transformers model: an encoder, and how the vectors of its tokens become one vector.

`modules.json` lists classes by name. The names are looked up in a table and never imported; what the table does not
hold, or an option that vitrail would have to ignore, is refused by name, so that vectors are never silently different.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from vitrail.checkpoints.config_files import read_json, read_json_value, write_json
from vitrail.checkpoints.sentence_transformer_modules import (
    read_pooling,
    read_projection,
    read_transformer,
    refuse_other_names,
    unsupported,
    write_pooling,
    write_projection,
    write_transformer,
)
from vitrail.checkpoints.tensor_files import TensorFiles
from vitrail.errors import DamagedFile
from vitrail.layers.pooling import PoolingSpec

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

# One name for each class: the path it had until version 5, or one of those it has since.
CLASS_NAME = re.compile(
    r"sentence_transformers\.(?:models|base\.modules|sentence_transformer\.modules)(?:\.\w+)?\.(\w+)"
)


@dataclass(frozen=True, kw_only=True)
class SentenceTransformerFolder:
    """What a sentence-transformers folder says, beyond the encoder itself."""

    encoder_folder: Path
    pooling: PoolingSpec
    projection_folders: tuple[Path, ...]  # one for each of pooling.projections
    prompts: dict[str, str]
    default_prompt: str | None  # a key of prompts
    max_length: int | None  # tokens, special ones included; None: as many as the encoder takes
    lowercase: bool  # texts are lowercased before the tokenizer
    similarity: str  # one of SIMILARITIES

    def read_projections(self) -> list[dict[str, Tensor]]:
        """The state dict of each projection's `nn.Linear`."""
        states = []
        for folder in self.projection_folders:
            with TensorFiles.open(folder) as files:
                states.append({name.removeprefix("linear."): files.read(name) for name in files.shapes})
        return states


def read_sentence_transformer(folder: Path) -> SentenceTransformerFolder | None:
    """Read and check the whole description; None when there is no modules.json."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    modules = _read_modules(folder, path)
    kinds = [kind for kind, _ in modules]
    dense = kinds.count("Dense")
    if kinds not in (["Transformer", "Pooling", *["Dense"] * dense, *last] for last in ([], ["Normalize"])):
        unsupported(path, f"the modules {', '.join(kinds)}; it runs Transformer, Pooling, then Dense, then Normalize")
    encoder_folder, pooling_folder, *projection_folders = (module for kind, module in modules if kind != "Normalize")

    max_length, lowercase = read_transformer(encoder_folder)
    modes, include_prompt, width = read_pooling(pooling_folder / "config.json")
    projections = []
    for projection_folder in projection_folders:
        projection = read_projection(projection_folder)
        if projection.in_features != width:
            raise DamagedFile(
                f"{projection_folder / 'config.json'} takes {projection.in_features} features, but what stands before "
                f"it gives {width}. Download the model again."
            )
        projections.append(projection)
        width = projection.out_features
    if kinds[-1] == "Normalize" and (modules[-1][1] / "config.json").is_file():
        refuse_other_names(modules[-1][1] / "config.json", read_json(modules[-1][1] / "config.json"))
    prompts, default_prompt, similarity = _read_prompts(folder / "config_sentence_transformers.json")
    return SentenceTransformerFolder(
        encoder_folder=encoder_folder,
        pooling=PoolingSpec(
            modes=modes,
            include_prompt=include_prompt,
            projections=tuple(projections),
            normalize=kinds[-1] == "Normalize",
        ),
        projection_folders=tuple(projection_folders),
        prompts=prompts,
        default_prompt=default_prompt,
        max_length=max_length,
        lowercase=lowercase,
        similarity=similarity,
    )


def write_sentence_transformer(
    folder: Path,
    *,
    pooling: PoolingSpec,
    hidden_size: int,
    projection_tensors: Sequence[Mapping[str, Tensor]] = (),
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    max_length: int | None = None,
    lowercase: bool = False,
    similarity: str = "cosine",
) -> None:
    """Write what makes sentence-transformers (any version) open `folder`, beside an encoder saved in its root.

    `projection_tensors`: the state dict of the `nn.Linear` of each of `pooling.projections`.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity {similarity!r}: choose among {', '.join(SIMILARITIES)}")
    if default_prompt is not None and default_prompt not in (prompts or {}):
        raise ValueError(f"default_prompt {default_prompt!r} is not among the prompts ({', '.join(prompts or {})})")
    places = [("Transformer", ""), ("Pooling", "1_Pooling")]
    write_transformer(folder, max_length=max_length, lowercase=lowercase)
    write_pooling(folder / "1_Pooling", pooling, hidden_size=hidden_size)
    for spec, state in zip(pooling.projections, projection_tensors, strict=True):
        places.append(("Dense", f"{len(places)}_Dense"))
        write_projection(folder / places[-1][1], spec, state)
    if pooling.normalize:
        places.append(("Normalize", f"{len(places)}_Normalize"))
        (folder / places[-1][1]).mkdir(parents=True, exist_ok=True)
    config = {"prompts": dict(prompts or {}), "default_prompt_name": default_prompt, "similarity_fn_name": similarity}
    write_json(folder / "config_sentence_transformers.json", config)
    # The paths of before version 5: the later versions read them too.
    entries = [
        {"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, place) in enumerate(places)
    ]
    write_json(folder / "modules.json", entries)


def _read_modules(folder: Path, path: Path) -> list[tuple[str, Path]]:
    """The class and the folder of each module, in the order they run."""
    entries = read_json_value(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DamagedFile(f"{path} is not a list of modules. Download the model again.")
    modules = []
    for entry in entries:
        kind = CLASS_NAME.fullmatch(str(entry.get("type")))
        if kind is None or kind[1] not in ("Transformer", "Pooling", "Dense", "Normalize"):
            unsupported(path, f"the module {str(entry.get('type'))[:120]!r}")
        place = entry.get("path", "")
        if not isinstance(place, str) or "\\" in place or ":" in place or PurePosixPath(place).is_absolute():
            raise DamagedFile(f"{path} places a module at {place!r}, which is not a folder inside the model's.")
        if ".." in PurePosixPath(place).parts or not (folder / place).resolve().is_relative_to(folder.resolve()):
            raise DamagedFile(f"{path} places a module at {place!r}, which is outside the model's folder.")
        modules.append((kind[1], folder / place))
    return modules


def _read_prompts(path: Path) -> tuple[dict[str, str], str | None, str]:
    """(prompts, name of the default prompt, similarity)."""
    config = read_json(path) if path.is_file() else {}
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        unsupported(path, f"model_type={str(config['model_type'])[:120]!r}")
    if config.get("truncate_dim") is not None:
        unsupported(path, f"truncate_dim={config['truncate_dim']}; delete it and pass dimensions= to embed")
    written = config.get("prompts") or {}
    if not isinstance(written, dict):
        raise DamagedFile(f"{path}: prompts is not a table of texts.")
    prompts = {name: "" if text is None else text for name, text in written.items()}
    if not all(isinstance(text, str) for text in prompts.values()):
        raise DamagedFile(f"{path}: a prompt is not a text.")
    default = config.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise DamagedFile(
            f"{path}: the default prompt {str(default)[:80]!r} is not among the prompts ({', '.join(prompts)})."
        )
    similarity = config.get("similarity_fn_name") or "cosine"
    if similarity not in SIMILARITIES:
        unsupported(path, f"the similarity {str(similarity)[:120]!r} (known: {', '.join(SIMILARITIES)})")
    return prompts, default, similarity
