"""Everything that is shown of some inputs, together: explanations by several methods, traces, walks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitrail.api import Encoder
from vitrail.explanation.explain import Scores, explain
from vitrail.explanation.result import Explanation
from vitrail.explanation.walkthrough import Walk, walk
from vitrail.pictures.canvas import PICTURES
from vitrail.tracing import Trace

ENDINGS = (".html", *PICTURES, ".json", ".npz", ".md")


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What is shown of one input: its texts, an explanation by each method, a trace and a walk of each text."""

    texts: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    traces: tuple[Trace, ...]
    walks: tuple[Walk, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Of one model; a part for each input. In a notebook it is its page, or a picture where that cannot be shown."""

    model: str
    parts: tuple[Part, ...]

    @property
    def title(self) -> str:
        return f"Seen through: {self.model}"

    @property
    def facts(self) -> str:
        """What the model is, if anything of it was traced or walked."""
        for part in self.parts:
            for trace in part.traces:
                spec = trace.spec
                return f"{spec.num_layers} layers × {spec.num_heads} heads, width {spec.hidden_size}"
        return f"{len(self.parts)} {'text' if len(self.parts) == 1 else 'texts'}"

    def __str__(self) -> str:
        from vitrail.explanation.report.terminal import lines_of

        return "\n".join(lines_of(self, colour=False))

    def __repr__(self) -> str:
        return f"Report({self.model}, {len(self.parts)} inputs; print it, or save(…) as {', '.join(ENDINGS)})"

    def to_html(self) -> str:
        from vitrail.explanation.report.page import page_of

        return page_of(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """For a notebook: the page in a frame of its own, and beside it a picture and text for what shows no frames."""
        import html

        title, page = html.escape(self.title), html.escape(self.to_html())
        style = "width:100%;height:640px;border:0"
        frame = f'<iframe sandbox="allow-scripts" style="{style}" title="{title}" srcdoc="{page}"></iframe>'
        bundle: dict[str, Any] = {"text/html": frame, "text/plain": str(self)}
        drawn = any(part.explanations or part.traces for part in self.parts[:1])
        if drawn and find_spec("matplotlib") is not None:
            bundle["image/png"] = self.picture("png")
        return bundle

    def picture(self, kind: str) -> bytes:
        """A picture of the first input: "png", "svg" or "pdf"."""
        from vitrail.explanation.report.pictures import picture_of

        return picture_of(self.parts[0], kind)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file of the kind its name says: .html, .png, .svg, .pdf, .json, .npz or .md."""
        from vitrail.explanation.report.exact import json_of, write_npz
        from vitrail.explanation.report.terminal import markdown_of

        path = Path(path)
        check_ending(path, len(self.parts))
        match path.suffix.lower():
            case ".html":
                path.write_text(self.to_html(), encoding="utf-8")
            case ".json":
                path.write_text(json_of(self), encoding="utf-8")
            case ".npz":
                write_npz(self, path)
            case ".md":
                path.write_text(markdown_of(self), encoding="utf-8")
            case ending:
                path.write_bytes(self.picture(ending[1:]))
        return path


def report(
    encoder: Encoder,
    inputs: Any,
    *,
    methods: Sequence[str] = ("decompx",),
    target: Any = None,
    attention: bool = False,
    steps: bool = False,
    scores: Scores | None = None,
) -> Report:
    """Explain one input, or each of a list, and show it.

    inputs, target, scores: as `explain` takes them. methods: keys of METHODS; none for attention or steps alone.
    attention: the maps of every layer and head too. steps: the walk through the encoder too.
    """
    found = []
    for each in inputs if isinstance(inputs, list) else [inputs]:
        explanations = tuple(
            explain(encoder, [each], method=method, target=target, scores=scores)[0] for method in methods
        )
        # where vectors are compared, the two texts of a pair are read apart
        compared = encoder.task is None or encoder.task.name == "embedding"
        apart = list(each) if compared and isinstance(each, tuple) else [each]
        traces = tuple(encoder.trace(apart)) if attention or not explanations else ()
        walks = tuple(walk(encoder, text) for text in apart) if steps else ()
        reading = explanations[0].reading if explanations else None
        texts = reading.texts if reading is not None else tuple(text for t in traces for text in t.reading.texts)
        found.append(Part(texts=texts, explanations=explanations, traces=traces if attention else (), walks=walks))
    return Report(model=encoder.name, parts=tuple(found))


def check_ending(path: Path, inputs: int) -> None:
    """ValueError for a file that cannot be; cheap, to be asked before the work."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"cannot tell what {path.name!r} shall be; end its name in {', '.join(ENDINGS)}")
    if ending in PICTURES and inputs != 1:
        raise ValueError(
            f"a picture shows one input, and there are {inputs}; save a page (.html) or numbers (.json, .npz), or "
            "explain one at a time"
        )
