"""Pictures of explanations and traces, for paper and for slides: each function gives a figure of matplotlib.

figure = draw_attribution(explanation)
figure.savefig("words.svg")
"""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vitrail.explanation.report.page import measured
from vitrail.explanation.result import Explanation
from vitrail.explanation.spans import spans_of, tokens_apart
from vitrail.pictures.coloured_text import Panel, draw_coloured_texts
from vitrail.pictures.heat import draw_grid, draw_layers, draw_map, thumbnails_of
from vitrail.tracing import LayerMaps, Trace, for_each_layer

if TYPE_CHECKING:
    from vitrail.explanation.report.report import Part

SIDE = 48


def draw_attribution(*explanations: Explanation) -> Any:
    """The texts with every word in the colour of its number, a panel for each explanation, its score beside it."""
    return draw_coloured_texts([_panel(each) for each in explanations])


def draw_head(trace: Trace, layer: int, head: int, *, sequence: int = 0) -> Any:
    """The map of one head, tokens on both axes."""
    weights = trace.attention(layer, head, sequence=sequence).cpu().numpy()
    pieces = _pieces(trace, sequence)
    return draw_map(weights, pieces, pieces, title=f"layer {layer}, head {head}")


def draw_heads(trace: Trace, *, sequence: int = 0) -> Any:
    """All heads of all layers, small."""
    side = SIDE
    maps = [thumbnails_of(weights, side) for weights in _weights(trace, sequence)]
    length = trace.reading.lengths[sequence]
    said = None
    if length > side:
        said = f"Each square is the largest weight of {-(-length // side)} × {-(-length // side)} tokens."
    title = f"attention, {trace.spec.num_layers} layers × {trace.spec.num_heads} heads, {length} tokens"
    return draw_grid(np.stack(maps), title=title, said=said, layers=range(len(maps)))


def draw_looked_at(trace: Trace, *, sequence: int = 0) -> Any:
    """For each layer, how much of the attention each token gets: the mean of its column over queries and heads."""
    values = np.stack([weights.mean((0, 1)) for weights in _weights(trace, sequence)])
    return draw_layers(
        values, _pieces(trace, sequence), title="what is looked at, layer by layer", value="mean attention weight"
    )


def bytes_of(figure: Any, kind: str) -> bytes:
    """A figure as "png", "svg" or "pdf"."""
    stream = BytesIO()
    figure.savefig(stream, format=kind, facecolor="white")
    return stream.getvalue()


def picture_of(part: "Part", kind: str) -> bytes:
    """The explanations of an input, or else the heads of its first trace."""
    if part.explanations:
        return bytes_of(draw_attribution(*part.explanations), kind)
    if part.traces:
        return bytes_of(draw_heads(part.traces[0]), kind)
    raise ValueError("there is nothing to draw: ask for a method or for attention; a walk is text (.md, .html, .json)")


def _panel(explanation: Explanation) -> Panel:
    strongest = float(np.abs(explanation.tokens).max(initial=0.0)) or 1.0
    texts: list[Sequence[tuple[str, float]]] = [
        [(span.text, span.value / strongest) for span in spans]
        for spans in spans_of(explanation.reading, explanation.tokens)
    ]
    apart = [
        (explanation.reading.pieces[token], float(explanation.tokens[token]) / strongest)
        for token in tokens_apart(explanation.reading)
    ]
    if apart:
        texts.append([pair for each in apart for pair in (each, ("  ", 0.0))])
    signs = "orange: for it; blue, underlined: against it" if explanation.signed else "how much, without a sign"
    return Panel(
        title=f"{explanation.method}: {explanation.target.name} = {explanation.target.value:.4g}",
        texts=texts,
        said=f"{signs}; strongest {strongest:.3g}. Faithfulness of the method on this model: {measured(explanation)}.",
    )


def _pieces(trace: Trace, sequence: int) -> list[str]:
    start, end = trace.reading.boundaries[sequence : sequence + 2].tolist()
    return list(trace.pieces[start:end])


def _weights(trace: Trace, sequence: int) -> list[np.ndarray]:
    """Of each layer (heads, queries, keys)."""
    found: list[np.ndarray] = []

    def look(maps: LayerMaps, layer: int) -> None:
        found.append(torch.cat([weights for _, weights in maps.blocks(sequence)], 1).cpu().numpy())

    with trace.again():
        for_each_layer(trace.origin.encoder, [trace.reading], look)
    return found
