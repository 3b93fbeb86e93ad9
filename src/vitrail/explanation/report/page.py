"""One HTML file that holds everything and asks for nothing: it opens without a network, and forbids itself one.

What a reader needs (texts, numbers, what was measured) is in the markup; JavaScript adds the attention of the heads and
the pointing. Every word that came from outside is escaped; the script is known to the browser by its digest, so no
other can run.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrail.explanation.methods import METHODS
from vitrail.explanation.report.attention import KEPT, HeadBytes, heads_of, numbers_of
from vitrail.explanation.result import Explanation
from vitrail.explanation.spans import Span, spans_of, tokens_apart
from vitrail.explanation.walkthrough.page import STYLE
from vitrail.tracing import Trace

if TYPE_CHECKING:
    from vitrail.explanation.report.report import Report

NOT_MEASURED = "not measured"
# Of the strongest: a number below it that is against the target is not underlined.
FAINT = 0.05
# Cells of a table that is still read.
MOST_PAIRS = 2500
_SAID = (
    f"Per row (a token that looks) the {KEPT} largest weights are kept, rounded to 1/255; the rest is left out, and "
    "how much that is stands beside each row and head. Thumbnails show the largest weight of each block. Colours are "
    "as strong as the square root of a weight. In every map rows look at columns."
)


def page_of(report: "Report") -> str:
    """The whole document."""
    script, style = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    views: list[dict[str, Any]] = []
    body = "\n".join(_body(report, views))
    data = json.dumps({"kept": KEPT, "views": views}, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":  # so that no text in it can end the element it stands in
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(report.title)}</title>
<style>{style}{STYLE if any(part.walks for part in report.parts) else ""}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def static_spans(explanation: Explanation) -> str:
    """The coloured texts of an explanation as a piece of markup with its colours in it: for notebooks and mail."""
    strongest = float(np.abs(explanation.tokens).max(initial=0.0)) or 1.0
    parts = []
    for spans in spans_of(explanation.reading, explanation.tokens):
        marked = "".join(_static_span(span, strongest) for span in spans)
        parts.append(f'<p dir="auto" style="line-height:2;white-space:pre-wrap">{marked}</p>')
    said = f"{_text(_target(explanation))} by {_text(explanation.method)}; faithfulness: {_text(measured(explanation))}"
    return f"<div><p><small>{said}</small></p>{''.join(parts)}</div>"


def measured(explanation: Explanation) -> str:
    """The method's score on this model, or that there is none."""
    return NOT_MEASURED if explanation.faithfulness is None else str(explanation.faithfulness)


def _body(report: "Report", views: list[dict[str, Any]]) -> Iterator[str]:
    yield f"<header><h1>{_text(report.title)}</h1><p class=soft>{_text(report.facts)}</p></header>"
    for number, part in enumerate(report.parts, start=1):
        if len(report.parts) > 1:
            yield f"<h2>{number}. <bdi>{_text(' | '.join(part.texts)[:80])}</bdi></h2>"
        for explanation in part.explanations:
            yield from _attribution(explanation)
        for trace in part.traces:
            yield from _attention(trace, views)
        for walk in part.walks:
            yield f"<section><h2>Step by step</h2>{walk.to_html()}</section>"


def _attribution(explanation: Explanation) -> Iterator[str]:
    method = METHODS[explanation.method]
    yield f"<section class=attribution><h2>{_text(explanation.method)}: why {_text(_target(explanation))}</h2>"
    yield f"<p>{_text(method.about)} <span class=soft>{_text(method.paper)}</span></p>"
    yield f"<p class=measured>Faithfulness of this method on this model: {_text(measured(explanation))}.</p>"
    if explanation.completeness is not None:
        missed = f"{100 * explanation.completeness:.2g} %"
        yield f"<p class=soft>Completeness: the numbers miss the change that they explain by {missed}.</p>"
    strongest = float(np.abs(explanation.tokens).max(initial=0.0))
    kind = "orange for it, blue and underlined against it" if explanation.signed else "how much, without a sign"
    yield f"<p class=soft>Colours: {kind}; strongest {strongest:.4g}. Point at a word, or use the arrow keys.</p>"
    for spans in spans_of(explanation.reading, explanation.tokens):
        marked = "".join(_span(span, explanation, strongest or 1.0) for span in spans)
        yield f'<div class="spans" dir="auto" role="group" aria-label="text">{marked}</div>'
    yield "<output></output>"
    apart = tokens_apart(explanation.reading)
    if apart:
        yield "<div class=apart><span class=soft>tokens without characters</span>"
        for token in apart:
            value, piece = float(explanation.tokens[token]), explanation.reading.pieces[token]
            yield f"<span {_colour(value, strongest or 1.0)}>{_text(piece)} {value:+.3g}</span>"
        yield "</div>"
    yield from _all_numbers(explanation)
    if explanation.pairs is not None:
        yield from _pairs(explanation)
    yield "</section>"


def _span(span: Span, explanation: Explanation, strongest: float) -> str:
    if not span.tokens:
        return _text(span.text)
    names = " + ".join(explanation.reading.pieces[token] for token in span.tokens)
    says = f"{span.text}: {span.value:+.4g} (token {', '.join(map(str, span.tokens))}: {names})"
    return f'<span {_colour(span.value, strongest)} data-says="{_text(says)}" tabindex="-1">{_text(span.text)}</span>'


def _colour(value: float, strongest: float) -> str:
    share = min(1.0, abs(value) / strongest)
    kind = "more" if value >= 0 else "less marked" if share > FAINT else "less"
    return f'class="{kind}" style="--w:{share:.3f}"'


def _static_span(span: Span, strongest: float) -> str:
    if not span.tokens:
        return _text(span.text)
    colour = "40,110,200" if span.value < 0 else "232,128,30"
    style = f"background:rgba({colour},{0.62 * min(1.0, abs(span.value) / strongest):.3f})"
    return f'<span style="{style}" title="{span.value:+.4g}">{_text(span.text)}</span>'


def _all_numbers(explanation: Explanation) -> Iterator[str]:
    reading = explanation.reading
    yield f"<details><summary>All {len(reading)} numbers</summary><div class=scroll tabindex=0><table>"
    yield "<thead><tr><th>token<th>text<th>characters<th>number</thead>"
    for token, value in enumerate(explanation.tokens.tolist()):
        start, end = reading.offsets[token].tolist()
        where = f"{start}–{end} of text {reading.sources[token] + 1}" if reading.sources[token] >= 0 else ""
        yield f"<tr><td>{token}<td><bdi>{_text(reading.pieces[token])}</bdi><td>{where}<td>{value:+.6g}"
    yield "</table></div></details>"


def _pairs(explanation: Explanation) -> Iterator[str]:
    """Which tokens of the two texts made their cosine."""
    reading, pairs = explanation.reading, explanation.pairs
    assert pairs is not None
    first = reading.lengths[0]
    block = pairs[:first, first:]
    yield "<h3>Pairs of tokens</h3>"
    if not 0 < block.size <= MOST_PAIRS:
        size = " × ".join(map(str, block.shape))
        yield f"<p class=soft>{size} pairs are too many for a table; the JSON and the .npz have them all.</p>"
        return
    strongest = float(np.abs(block).max()) or 1.0
    yield "<p class=soft>Rows: tokens of the first text; columns: of the second. Each cell is that pair's part.</p>"
    yield "<div class=scroll tabindex=0><table class=pairs><thead><tr><th>"
    yield "".join(f"<th><bdi>{_text(piece)}</bdi>" for piece in reading.pieces[first:]) + "</thead>"
    for piece, row in zip(reading.pieces[:first], block.tolist(), strict=True):
        cells = "".join(f"<td {_colour(value, strongest)}>{value:+.3f}" for value in row)
        yield f"<tr><th scope=row><bdi>{_text(piece)}</bdi>{cells}"
    yield "</table></div>"


def _attention(trace: Trace, views: list[dict[str, Any]]) -> Iterator[str]:
    reading, boundaries = trace.reading, trace.reading.boundaries.tolist()
    for sequence, heads in enumerate(heads_of(trace)):
        tokens = slice(boundaries[sequence], boundaries[sequence + 1])
        if tokens.start == tokens.stop:
            continue
        yield f'<section class="attention" data-view="{len(views)}">'
        views.append(_view(trace, heads, tokens))
        number = f", sequence {sequence + 1} of {len(reading.lengths)}" if len(reading.lengths) > 1 else ""
        yield f"<h2>Attention{number}: {trace.spec.num_layers} layers × {trace.spec.num_heads} heads</h2>"
        beginning = " ".join(trace.pieces[tokens])
        yield f"<p><bdi>{_text(beginning[:100])}{'…' if len(beginning) > 100 else ''}</bdi></p>"
        gap = trace.backend_gap
        if gap.difference:
            yield f"<p class=soft>Computed in torch; {_text(gap.backend)} is {gap.difference:.2g} away from it.</p>"
        yield f"<p class=soft>{_SAID}</p>"
        yield '<div class="grid" role="group" aria-label="heads: a row for each layer"></div><output></output>'
        yield '<div class="head"><canvas aria-hidden="true"></canvas><div>'
        yield "<p class=soft>Choose the token that looks; the colours say at which it looks, the list how much.</p>"
        yield '<div class="strip" role="group" aria-label="tokens"></div><ol></ol></div></div>'
        yield "<noscript><p>The attention is drawn by JavaScript, which is switched off here.</p></noscript></section>"


def _view(trace: Trace, heads: list[HeadBytes], tokens: slice) -> dict[str, Any]:
    return {
        "pieces": list(trace.pieces[tokens]),
        "special": trace.reading.special[tokens].tolist(),
        "heads": trace.spec.num_heads,
        "maps": [{"layer": each.layer, "head": each.head} | each.to_dict() for each in heads],
        "numbers": numbers_of(trace.statistics),
    }


def _target(explanation: Explanation) -> str:
    return f"{explanation.target.name} = {explanation.target.value:.4g}"


def _text(words: Any) -> str:
    return html.escape(str(words))
