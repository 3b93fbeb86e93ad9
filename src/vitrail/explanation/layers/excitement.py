"""Feature visualisation for texts: where in a corpus a part of the model is most excited ([Dalvi 2019], for encoders).

A part is a unit of a feed-forward network, an attention head (the length of what it gathers for a token), or a
direction at any point (the inner product with it). The corpus passes once; only the strongest places are kept, and a
sample of all values, which says how special the strongest are.

[Dalvi 2019]: https://arxiv.org/abs/1812.09355
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.api import Encoder
from vitrail.api.readings import readings_of
from vitrail.explanation.layers.tables import in_context, table
from vitrail.explanation.spans import spans_of
from vitrail.tracing import Reading, points_of, still, values_at, width_of

TEXTS_AT_ONCE = 32
# Values that are kept to tell quantiles by, drawn evenly from all.
SAMPLE = 10_000
QUANTILES = (0.01, 0.5, 0.99, 0.999)
# Characters around a place, and texts, in the picture.
AROUND = 160
MOST_DRAWN = 30


@dataclass(frozen=True, kw_only=True)
class Place:
    """A token of a text that was read: text[start:end]. row: the text's number in the corpus.

    reading, values: all tokens of the text, and a number for each.
    """

    value: float
    row: int
    text: str
    start: int
    end: int
    reading: Reading = field(repr=False, compare=False)
    values: Float[np.ndarray, " tokens"] = field(repr=False, compare=False)

    def in_context(self) -> str:
        """With what stands around it, on one line."""
        return in_context(self.text, self.start, self.end)


@dataclass(frozen=True, kw_only=True)
class Excitement:
    """places: the strongest, the first one first. tokens: how many were seen. quantiles: of all values, by share."""

    part: str
    places: tuple[Place, ...]
    tokens: int
    quantiles: dict[float, float]

    @property
    def said(self) -> str:
        spread = ", ".join(f"{share:.1%} below {value:.3g}" for share, value in self.quantiles.items())
        return f"{self.tokens:,} tokens: {spread}"

    def table(self) -> str:
        rows = [[f"{place.value:.3f}", str(place.row), "  " + place.in_context()] for place in self.places]
        width = max([len(row[2]) for row in rows], default=0)
        rows = [[*row[:2], row[2].ljust(width)] for row in rows]
        return f"{self.part}, {self.said}\n" + table(["value", "row", "".ljust(width)], rows)

    def picture(self, path: str | Path) -> Path:
        """PNG, SVG or PDF, by the suffix: the texts of the places, every token in the colour of its value."""
        from vitrail.pictures.canvas import save
        from vitrail.pictures.coloured_text import Panel, draw_coloured_texts

        strongest = max((abs(place.value) for place in self.places), default=0.0) or 1.0
        panels, seen = [], dict.fromkeys(place.row for place in self.places)
        for row in list(seen)[:MOST_DRAWN]:
            best, *others = [place for place in self.places if place.row == row]
            said = f"row {row}: {best.value:.3f} at ⟦{best.text[best.start : best.end]}⟧"
            said += f", and {len(others)} more of the strongest" if others else ""
            panels.append(Panel(title="", said=said, texts=[_excerpt(best, strongest)]))
        said = f"{self.said}. Orange: above 0; blue, underlined: below; full colour is {strongest:.3g}."
        if len(seen) > MOST_DRAWN:
            said += f" The first {MOST_DRAWN} of {len(seen):,} texts."
        return save(draw_coloured_texts([Panel(title=self.part, said=said, texts=[]), *panels]), Path(path))


def most_exciting(
    encoder: Encoder,
    texts: Iterable[str],
    *,
    unit: tuple[int, int] | None = None,
    head: tuple[int, int] | None = None,
    direction: tuple[str, Float[Tensor, " width"]] | None = None,
    top: int = 20,
    seed: int = 0,
) -> Excitement:
    """Where the texts most excite one part: a unit (layer, unit), a head (layer, head), or a direction (point, vector).

    texts: any number, read once. seed: of the sample that the quantiles are of. ValueError unless one part is named.
    """
    if sum(part is not None for part in (unit, head, direction)) != 1:
        raise ValueError("name one part: unit=(layer, unit), head=(layer, head) or direction=(point, vector)")
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    part, point, measure = _part(encoder, unit, head, direction)
    strongest: list[tuple[float, int, int, Place]] = []
    sample, seen = np.empty(SAMPLE), 0
    generator = np.random.default_rng(seed)
    for row, reading, values in _values(encoder, texts, point, measure):
        for token in np.flatnonzero(~reading.special).tolist():
            value = float(values[token])
            place = seen if seen < SAMPLE else int(generator.integers(seen + 1))
            if place < SAMPLE:
                sample[place] = value
            seen += 1
            if len(strongest) < top or value > strongest[0][0]:
                start, end = reading.offsets[token].tolist()
                found = Place(
                    value=value,
                    row=row,
                    text=reading.texts[0],
                    start=start,
                    end=end,
                    reading=reading,
                    values=values,
                )
                (heapq.heappush if len(strongest) < top else heapq.heappushpop)(strongest, (value, -row, -token, found))
    known = sample[: min(seen, SAMPLE)]
    return Excitement(
        part=part,
        places=tuple(each[-1] for each in sorted(strongest, key=lambda each: each[:3], reverse=True)),
        tokens=seen,
        quantiles={share: float(np.quantile(known, share)) for share in QUANTILES} if seen else {},
    )


def _excerpt(place: Place, strongest: float) -> list[tuple[str, float]]:
    """(piece of the text, its value as a share of the strongest) around a place; of one character's tokens the most."""
    spans = spans_of(place.reading, place.values.astype(np.float32))[0]
    first, last = max(0, place.start - AROUND), min(len(place.text), place.end + AROUND)
    pieces = []
    for span in spans:
        if span.end > first and span.start < last:
            value = max((float(place.values[token]) for token in span.tokens), key=abs, default=0.0)
            # what stands between tokens, or was not read, can be of any length
            text = span.text if span.tokens else place.text[max(first, span.start) : min(last, span.end)]
            pieces.append((text, value / strongest))
    return [("… ", 0.0)] * (first > 0) + pieces + [(" …", 0.0)] * (last < len(place.text))


def _part(encoder: Encoder, unit: Any, head: Any, direction: Any) -> tuple[str, str, Any]:
    """(its name, the point that is read, what is taken of the values there)."""
    spec = encoder.spec
    if direction is not None:
        point, vector = direction
        if vector.shape != (width := width_of(spec, point),) and point in points_of(encoder.model):
            raise ValueError(f"a direction at {point} has {width} numbers, got shape {tuple(vector.shape)}")
        return f"direction at {point}", point, lambda values: values @ vector.to(values)
    (layer, number), count, what = (unit, spec.intermediate_size, "unit") if unit else (head, spec.num_heads, "head")
    if not (0 <= layer < spec.num_layers and 0 <= number < count):
        raise ValueError(
            f"{what} {number} of layer {layer}: the model has layers 0 … {spec.num_layers - 1} and {what}s 0 … "
            f"{count - 1}"
        )
    if unit:
        return f"unit {number} of layer {layer}", f"layers.{layer}.feed_forward.activation", lambda v: v[:, number]
    own = slice(number * spec.head_dim, (number + 1) * spec.head_dim)
    return f"head {number} of layer {layer}", f"layers.{layer}.attention.context", lambda v: v[:, own].norm(dim=-1)


def _values(
    encoder: Encoder, texts: Iterable[str], point: str, measure: Any
) -> Iterator[tuple[int, Reading, Float[np.ndarray, " tokens"]]]:
    """(number of the text, what was read of it, a number for each token)."""
    waiting, row = iter(texts), 0
    while some := list(islice(waiting, TEXTS_AT_ONCE)):
        readings = readings_of(encoder, some)
        with still(encoder), torch.no_grad():
            found = measure(values_at(encoder, readings, [point])[point]).double().cpu().numpy()
        start = 0
        for reading in readings:
            yield row, reading, found[start : start + len(reading)]
            start, row = start + len(reading), row + 1
