"""Heads in the files of a model: which there are, and their tensors, by the tables of the family.

A checkpoint need not say what its head is for. The class it names decides; without one, every head whose tensors are
all there counts (BERT's pooler and classifier are also the classifier of tokens, beside an unused pooler).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vitrail.checkpoints.tensor_files import TensorFiles
from vitrail.checkpoints.weight_map import normal_names
from vitrail.errors import CheckpointError, CheckpointMismatch
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import PublishedHead, head_spec
from vitrail.families.own import HEAD_PREFIX
from vitrail.layers.head import Head, HeadSpec
from vitrail.models.spec import EncoderSpec


@dataclass(frozen=True, kw_only=True)
class SavedHead:
    """spec: as the files say. sources: our parameter -> its name in the file. used: all names that are its tensors'."""

    kind: str
    spec: HeadSpec
    sources: Mapping[str, str]
    used: frozenset[str]

    def read(self, files: TensorFiles, hidden_size: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """Its parameters; CheckpointMismatch where a shape is not that of the spec."""
        wanted = parameter_shapes(self.spec, hidden_size)
        reshaped = [
            (name, files.shapes[name], wanted[ours])
            for ours, name in self.sources.items()
            if tuple(files.shapes[name]) != wanted[ours]
        ]
        if reshaped:
            raise CheckpointMismatch(reshaped=reshaped)
        return {ours: files.read(name).to(dtype) for ours, name in self.sources.items()}


def parameter_shapes(spec: HeadSpec, hidden_size: int) -> dict[str, tuple[int, ...]]:
    """Our parameters of a head, and their shapes."""
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in Head(spec, hidden_size).named_parameters()}


def saved_heads(
    family: Family, config: Config, spec: EncoderSpec, shapes: Mapping[str, tuple[int, ...]], names: Iterable[str]
) -> dict[str, SavedHead]:
    """The whole heads among the tensors `names` (those that are not the encoder's), by kind."""
    there = names_without_prefix(family, names)
    own = config.get("vitrail", {}).get("head")
    if own is not None:
        return _own_head(own, spec, there)
    found = {}
    named = config.get("architectures", ())
    for kind, published in family.heads.items():
        head = head_spec(published, config, spec, outputs=1)
        sources = sources_of(published, head, spec, there)
        if sources.keys() == parameter_shapes(head, spec.hidden_size).keys() and (
            sources or published.architecture in named
        ):
            output = sources.get("output.bias") or sources.get("output.weight")
            outputs = spec.vocab_size if output is None else shapes[output][0]
            head = head_spec(published, config, spec, outputs=outputs)
            used = {there[name] for table in published.tables for name in _names_in(published, table) if name in there}
            found[kind] = SavedHead(kind=kind, spec=head, sources=sources, used=frozenset(used))
    stated = {kind: head for kind, head in found.items() if family.heads[kind].architecture in named}
    return stated or found


def sources_of(published: PublishedHead, head: HeadSpec, spec: EncoderSpec, there: Mapping[str, str]) -> dict[str, str]:
    """Our parameter -> its name in the file, for those that are there. there: name without prefix -> name."""
    parameters = parameter_shapes(head, spec.hidden_size)
    table = published.layout(parameters, there)
    candidates = {ours: [name for name in published.names(ours, table) if name in there] for ours in parameters}
    return {ours: there[names[0]] for ours, names in candidates.items() if names}


def published_head_tensors(
    published: PublishedHead, parameters: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor]:
    """Our parameters of a head under all their published names; what stands inside the encoder has its prefix."""
    return {
        (prefix if name.startswith(published.inside) and published.inside else "") + name: tensor
        for ours, tensor in parameters.items()
        for name in published.names(ours, published.tables[0])
    }


def names_without_prefix(family: Family, names: Iterable[str]) -> dict[str, str]:
    """Name without the prefix of the encoder's part -> name in the file."""
    found: dict[str, str] = {}
    listed = list(names)
    for prefix in {layout.prefix for layout in family.weights}:
        found |= normal_names([name for name in listed if name.startswith(prefix)], prefix)
    return normal_names(listed, "") | found


def _own_head(values: Mapping[str, Any], spec: EncoderSpec, there: Mapping[str, str]) -> dict[str, SavedHead]:
    try:
        kind, head = values["kind"], HeadSpec(**values["spec"])
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"config.json of this vitrail model describes no head: {error}") from error
    sources = {name: f"{HEAD_PREFIX}{name}" for name in parameter_shapes(head, spec.hidden_size)}
    if missing := set(sources.values()) - there.keys():
        raise CheckpointMismatch(missing=missing)
    return {kind: SavedHead(kind=kind, spec=head, sources=sources, used=frozenset(sources.values()))}


def _names_in(published: PublishedHead, table: Mapping[str, str]) -> set[str]:
    """Every tensor's name that a table knows, those of a tied output among them."""
    modules = {mine for mine in table.values() if not mine.endswith((".weight", ".bias"))}
    return {
        name
        for module in modules
        for ending in ("weight", "bias")
        for name in published.names(f"{module}.{ending}", table)
    }
