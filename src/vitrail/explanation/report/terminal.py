"""A report as text: coloured words where there are colours, signed numbers where there are none, Markdown."""

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrail.explanation.report.page import measured
from vitrail.explanation.result import Explanation
from vitrail.explanation.spans import spans_of, tokens_apart
from vitrail.files.markdown import plain
from vitrail.tracing import Trace

if TYPE_CHECKING:
    from vitrail.explanation.report.report import Report

MORE, LESS, RESET = (200, 100, 10), (30, 90, 190), "\x1b[0m"
# A text of more spans is shown by those with the largest numbers.
MOST_LINES = 60


def lines_of(report: "Report", *, colour: bool) -> Iterator[str]:
    """colour: whether the terminal has colours (24 bits); numbers stand beside them in any case."""
    yield f"{_plain(report.title)} ({report.facts})"
    for part in report.parts:
        if len(report.parts) > 1:
            yield ""
            yield f"— {_plain(' | '.join(part.texts))}"
        for explanation in part.explanations:
            yield ""
            yield from _explained(explanation, colour=colour)
        for trace in part.traces:
            yield ""
            yield from _attention(trace)
        for walk in part.walks:
            yield ""
            yield from (_plain(line) for line in str(walk).splitlines())


def markdown_of(report: "Report") -> str:
    lines = [f"# {plain(report.title)}", "", plain(report.facts), ""]
    for part in report.parts:
        lines += [f"## {plain(' | '.join(part.texts))}", ""]
        for explanation in part.explanations:
            lines += [f"### {plain(_heading(explanation))}", "", f"{plain(_trust(explanation))}", ""]
            lines += ["| text | characters | number |", "|---|---|--:|"]
            for text, where, value in _rows(explanation):
                lines.append(f"| {plain(text)} | {where} | {value:+.4g} |")
            lines.append("")
        for trace in part.traces:
            lines += ["```", *_attention(trace), "```", ""]
        lines += [walk.to_markdown().replace("\n#", "\n###").replace("# ", "### ", 1) for walk in part.walks]
    return "\n".join(lines)


def _explained(explanation: Explanation, *, colour: bool) -> Iterator[str]:
    yield _plain(_heading(explanation))
    yield f"  {_trust(explanation)}"
    strongest = float(np.abs(explanation.tokens).max(initial=0.0)) or 1.0
    if colour:
        for spans in spans_of(explanation.reading, explanation.tokens):
            yield "  " + "".join(_coloured(_plain(span.text), span.value / strongest) for span in spans)
    rows = list(_rows(explanation))
    kept = set(sorted(range(len(rows)), key=lambda place: -abs(rows[place][2]))[:MOST_LINES])
    for place, (text, _, value) in enumerate(rows):
        if place in kept:
            yield f"  {value:+10.4g}  {_plain(text)}"
    if len(rows) > len(kept):
        yield f"  … and {len(rows) - len(kept)} spans with smaller numbers; all of them: -o OUT.json"


def _rows(explanation: Explanation) -> Iterator[tuple[str, str, float]]:
    """(text, its characters, its number) of every span with tokens, then of the tokens without characters."""
    several = len(explanation.reading.texts) > 1
    for spans in spans_of(explanation.reading, explanation.tokens):
        for span in spans:
            if span.tokens:
                where = f"{span.start}–{span.end}" + (f" of text {span.source + 1}" if several else "")
                yield span.text, where, span.value
    for token in tokens_apart(explanation.reading):
        yield explanation.reading.pieces[token], "", float(explanation.tokens[token])


def _heading(explanation: Explanation) -> str:
    return f"{explanation.method}: {explanation.target.name} = {explanation.target.value:.4g}"


def _trust(explanation: Explanation) -> str:
    words = f"faithfulness of this method on this model: {measured(explanation)}"
    if explanation.completeness is not None:
        words += f"; completeness missed by {100 * explanation.completeness:.2g} %"
    return words if explanation.signed else f"{words}; numbers say how much, without a sign"


def _attention(trace: Trace) -> Iterator[str]:
    """Each layer's heads in three numbers: a trace has too many weights for a terminal."""
    yield f"Attention, the mean of the {trace.spec.num_heads} heads of each layer (maps: -o OUT.html)"
    yield "  layer   entropy (nats)   distance (tokens)   to special tokens"
    numbers: Any = trace.statistics
    for layer in range(trace.spec.num_layers):
        entropy, distance, special = (
            float(getattr(numbers, name)[layer].mean()) for name in ("entropy", "distance", "special_mass")
        )
        yield f"  {layer:5}   {entropy:14.3f}   {distance:17.2f}   {100 * special:15.1f} %"


def _coloured(text: str, share: float) -> str:
    if not share or not text.strip():
        return text
    red, green, blue = MORE if share > 0 else LESS
    strength = min(1.0, abs(share)) ** 0.5
    back = ";".join(str(int(38 + strength * (part - 38))) for part in (red, green, blue))
    return f"\x1b[38;2;255;255;255;48;2;{back}m{text}{RESET}"


def _plain(text: str) -> str:
    """Without what a terminal would obey: escapes and other control characters."""
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text)
