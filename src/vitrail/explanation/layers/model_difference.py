"""What became of a model: before and after training or pruning, layer by layer and text by text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.api import Encoder
from vitrail.api.readings import readings_of
from vitrail.explanation.layers.similarity import Similarity, cka
from vitrail.explanation.layers.tables import table
from vitrail.tracing import LayerMaps, for_each_layer, still

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A text whose prediction changed."""

    row: int
    text: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """weights: by part of the model (`embeddings`, `layers.3`, `task`, …), ‖after − before‖ / ‖before‖; parts whose
    shapes changed are in `reshaped`, and all layers where their number did (which of them went cannot be told).

    similarity: CKA of every layer before with every one after. cosines: of the two vectors of each text; empty where
    they have different widths. attention: how far the maps of a head are apart, Σ|after − before| / 2 of a query's
    weights (0 the same, 1 nothing in common), the mean; None where the shapes differ. flips: None without a classifier.
    """

    weights: dict[str, float]
    reshaped: tuple[str, ...]
    similarity: Similarity
    cosines: Float[np.ndarray, " texts"]
    attention: Float[np.ndarray, "layers heads"] | None
    flips: tuple[Flip, ...] | None

    def table(self) -> str:
        shared = self.similarity.rows == self.similarity.columns
        same = dict(zip(self.similarity.rows, self.similarity.matrix.diagonal(), strict=True)) if shared else {}
        rows = []
        for name, change in self.weights.items():
            layer = f"{name}.output" if name.startswith("layers.") else name
            moved = ""
            if self.attention is not None and name.startswith("layers."):
                moved = f"{self.attention[int(name.removeprefix('layers.'))].mean():.3f}"
            rows.append([name, f"{change:.4f}", f"{same[layer]:.3f}" if layer in same else "", moved])
        lines = [table(["part", "weights changed by", "CKA", "attention moved"], rows)]
        lines += [f"{name}: not to be compared" for name in self.reshaped]
        if len(self.cosines):
            lines.append(f"cosine of the vectors: mean {self.cosines.mean():.4f}, lowest {self.cosines.min():.4f}")
        if self.flips is not None:
            lines.append(f"{len(self.flips):,} predictions changed")
            lines += [f"  {flip.row}: {flip.before} → {flip.after}  {flip.text:.60}" for flip in self.flips[:SHOWN]]
        return "\n".join(lines)

    def picture(self, path: str | Path) -> Path:
        """PNG, SVG or PDF, by the suffix: how far weights, layers and (where they can be compared) heads are apart."""
        from vitrail.pictures.changes import draw_changes

        said = f"CKA over {self.similarity.count:,} {self.similarity.unit}s."
        if len(self.cosines):
            said += f" Cosine of the vectors: mean {self.cosines.mean():.4f}, lowest {self.cosines.min():.4f}."
        if self.flips is not None:
            said += f" {len(self.flips):,} predictions changed."
        return draw_changes(
            Path(path),
            {**self.weights, **dict.fromkeys(self.reshaped)},
            self.similarity.matrix,
            (self.similarity.rows, self.similarity.columns),
            heads=self.attention,
            said=said,
        )


def difference(before: Encoder, after: Encoder, texts: Sequence[str]) -> Difference:
    """Of two models that come from each other, on these texts."""
    weights, reshaped = _weights(before, after)
    vectors = [each.embed(list(texts), show_progress=False) for each in (before, after)]
    cosines = np.empty(0)
    if vectors[0].shape == vectors[1].shape:
        one, two = (torch.from_numpy(each).double() for each in vectors)
        cosines = torch.nn.functional.cosine_similarity(one, two).numpy()
    return Difference(
        weights=weights,
        reshaped=reshaped,
        similarity=cka(before, texts, after),
        cosines=cosines,
        attention=_attention(before, after, texts),
        flips=_flips(before, after, texts),
    )


def _weights(before: Encoder, after: Encoder) -> tuple[dict[str, float], tuple[str, ...]]:
    """(change by part, parts that cannot be compared: of other shapes, or layers where their number differs)."""
    old, new = ({name: value.detach() for name, value in each.named_parameters()} for each in (before, after))
    alike = before.spec.num_layers == after.spec.num_layers
    changed: dict[str, list[Tensor]] = {}
    reshaped = []
    for name in dict.fromkeys([*old, *new]):
        part = _part_of(name)
        one, two = old.get(name), new.get(name)
        if one is None or two is None or one.shape != two.shape or (part.startswith("layers.") and not alike):
            reshaped.append(part)
            continue
        moved = torch.stack([(two.double() - one.double()).square().sum(), one.double().square().sum()])
        changed.setdefault(part, []).append(moved)
    ratios = {}
    for part, sums in changed.items():
        change, length = torch.stack(sums).sum(0).sqrt().tolist()
        ratios[part] = change / length if length else (math.inf if change else 0.0)
    return ratios, tuple(dict.fromkeys(reshaped))


def _part_of(name: str) -> str:
    """`model.layers.3.attention.query.weight` belongs to `layers.3`."""
    parts = name.removeprefix("model.").split(".")
    return ".".join(parts[:2]) if parts[0] == "layers" else parts[0]


def _attention(before: Encoder, after: Encoder, texts: Sequence[str]) -> Float[np.ndarray, "layers heads"] | None:
    one, two = before.spec, after.spec
    if (one.num_layers, one.num_heads) != (two.num_layers, two.num_heads):
        return None
    moved, queries = torch.zeros(one.num_layers, one.num_heads), 0
    for first, second in zip(readings_of(before, list(texts)), readings_of(after, list(texts)), strict=True):
        if not np.array_equal(first.ids, second.ids):
            return None
        queries += len(first)
        seen: list[LayerMaps] = []
        with still(before), still(after):
            for_each_layer(before, [first], lambda maps, layer, seen=seen: seen.append(maps))  # type: ignore[misc]
            for_each_layer(after, [second], partial(_compare, seen, moved))
    return (moved / max(queries, 1)).double().numpy()


def _compare(before: list[LayerMaps], moved: Float[Tensor, "layers heads"], maps: LayerMaps, layer: int) -> None:
    """Adds how far the maps of a layer are from those before, a block of rows at a time."""
    for sequence in range(maps.packing.num_sequences):
        for (_, old), (_, new) in zip(before[layer].blocks(sequence), maps.blocks(sequence), strict=True):
            moved[layer] += ((new - old).abs().sum((1, 2)) / 2).cpu()


def _flips(before: Encoder, after: Encoder, texts: Sequence[str]) -> tuple[Flip, ...] | None:
    for each in (before, after):
        if each.task is None or each.task.name != "text-classification":
            return None
    found: list[list[Any]] = [list(each.predict(list(texts), show_progress=False)) for each in (before, after)]
    return tuple(
        Flip(row=row, text=text, before=str(old.label), after=str(new.label))
        for row, (text, old, new) in enumerate(zip(texts, *found, strict=True))
        if old.label != new.label
    )
