"""Two names for every tensor: the published one and ours.

A `WeightMap` is a table between module paths, read in both directions: our model's own parameters are walked, each is
given its published name, and what the file has beside those is unexpected. Nothing is matched by guessing, so nothing
can be skipped unseen. Surgery (one published tensor that holds several of ours, stacked) is a second table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from vitrail.errors import CheckpointMismatch

Shape = tuple[int, ...]

# Names that old checkpoints, converted from TensorFlow, have for the parameters of a normalisation.
LEGACY_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}


@dataclass(frozen=True, kw_only=True)
class WeightMap:
    """prefix: what stands before every name in checkpoints saved with a head ("bert."); may be absent in the file.
    table: published module path -> ours; `{}` is the layer's number. What follows the path ("weight", "bias") is the
        same on both sides; where it is not, an entry names one tensor in full on both sides ("in_proj_bias").
    stacked: published path -> our paths, in the order in which their rows are stacked in the one tensor.
    ignored: published names (without prefix) of buffers that hold nothing learned.
    heads: beginnings of published names that belong to heads, not to the encoder.
    """

    prefix: str
    table: Mapping[str, str]
    stacked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    heads: tuple[str, ...] = ()

    def published(self, name: str, layer_numbers: Sequence[int]) -> "Source":
        """Where our parameter `name` stands in a published checkpoint.

        layer_numbers[i] is the number that layer i's parameters are published under (i, unless layers share them).
        """
        parts = name.split(".")
        numbered = parts[0] == "layers"
        template = ".".join([parts[0], "{}", *parts[2:]]) if numbered else name
        number = layer_numbers[int(parts[1])] if numbered else 0
        path, _, ending = template.rpartition(".")
        if template in self._ours:
            source, index = self._ours[template]
            published = source
        else:
            source, index = self._ours[path]
            published = f"{source}.{ending}"
        return Source(name=published.format(number), index=index, parts=len(self.stacked.get(source, ("",))))

    @cached_property
    def _ours(self) -> dict[str, tuple[str, int]]:
        """Our path -> (published path, which of its stacked parts)."""
        found = {ours: (theirs, 0) for theirs, ours in self.table.items()}
        for theirs, stack in self.stacked.items():
            found.update({ours: (theirs, index) for index, ours in enumerate(stack)})
        return found


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published tensor, and which of its stacked parts is meant."""

    name: str
    index: int
    parts: int


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows start … stop of the tensor `name` of a file; stop None: all of it."""

    name: str
    start: int
    stop: int | None


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What to read for each of our parameters, and which tensors of the file belong to heads and stay unread."""

    slices: Mapping[str, Slice]
    unused: tuple[str, ...]


def best_fit(
    weight_maps: Sequence[WeightMap], *, wanted: Iterable[str], found: Iterable[str], layer_numbers: Sequence[int]
) -> WeightMap:
    """Of the layouts a family is published in, the one that has most of the names in the file; the first of equals."""
    ours, theirs = list(wanted), list(found)

    def matches(weight_map: WeightMap) -> int:
        names = {weight_map.published(name, layer_numbers).name for name in ours}
        return len(names & normal_names(theirs, weight_map.prefix).keys())

    return max(weight_maps, key=matches)


def plan_loading(
    weight_map: WeightMap,
    *,
    wanted: Mapping[str, Shape],
    found: Mapping[str, Shape],
    layer_numbers: Sequence[int],
) -> LoadPlan:
    """Match the parameters of a model (`wanted`) with the tensors of a file (`found`).

    Raises CheckpointMismatch, which lists every missing and unexpected tensor and every other shape.
    """
    by_name = normal_names(found, weight_map.prefix)
    sources = {ours: weight_map.published(ours, layer_numbers) for ours in wanted}
    heights: dict[str, dict[int, int]] = {}
    for ours, source in sources.items():
        heights.setdefault(source.name, {})[source.index] = wanted[ours][0] if wanted[ours] else 1

    slices, missing, reshaped = {}, set(), []
    for ours, source in sources.items():
        if source.name not in by_name:
            missing.add(source.name)
            continue
        file_name = by_name[source.name]
        stack = heights[source.name]
        shape = (sum(stack.values()), *wanted[ours][1:]) if source.parts > 1 else wanted[ours]
        if tuple(found[file_name]) != tuple(shape):
            reshaped.append((file_name, tuple(found[file_name]), tuple(shape)))
            continue
        start = sum(height for index, height in stack.items() if index < source.index)
        stop = start + stack[source.index] if source.parts > 1 else None
        slices[ours] = Slice(name=file_name, start=start, stop=stop)

    left = set(by_name) - {source.name for source in sources.values()} - weight_map.ignored
    unused = {name for name in left if name.startswith(weight_map.heads)} if weight_map.heads else set()
    unexpected = left - unused
    if missing or unexpected or reshaped:
        raise CheckpointMismatch(
            missing=missing, unexpected=(by_name[name] for name in unexpected), reshaped=set(reshaped)
        )
    return LoadPlan(slices=slices, unused=tuple(sorted(by_name[name] for name in unused)))


def publish(weight_map: WeightMap, tensors: Mapping[str, Tensor], layer_numbers: Sequence[int]) -> dict[str, Tensor]:
    """Our parameters under their published names, without the prefix: what a checkpoint of the bare encoder holds."""
    stacks: dict[str, dict[int, Tensor]] = {}
    for ours, tensor in tensors.items():
        source = weight_map.published(ours, layer_numbers)
        stacks.setdefault(source.name, {})[source.index] = tensor
    return {
        name: torch.cat([stack[index] for index in sorted(stack)]) if len(stack) > 1 else stack[0].contiguous()
        for name, stack in stacks.items()
    }


def normal_names(found: Iterable[str], prefix: str) -> dict[str, str]:
    """Name without prefix, with today's endings -> name in the file."""
    names = {}
    for name in found:
        normal = name.removeprefix(prefix)
        for legacy, today in LEGACY_ENDINGS.items():
            if normal.endswith(legacy):
                normal = normal.removesuffix(legacy) + today
        names[normal] = name
    return names
