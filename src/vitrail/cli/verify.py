"""`vitrail verify`: does this model, on this machine, do what it should?

Exit codes: 0 every check is ok; 1 one failed; 3 none failed, but something could not be checked.

`--json` prints one object: name, revision, device, precision, texts and tokens (counts), checks (each with name;
outcome: ok, failed or unchecked; difference, tolerance: numbers or null; note), exit_code. A difference is
max |ours − wanted| / max |wanted|, null where it is not a number.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.options import Device, Model, Offline, Precision, Revision, Threads

if TYPE_CHECKING:
    from vitrail.api.checks import Check
    from vitrail.api.encoder import Encoder

MOST_TEXTS = 1000
WIDTH, INDENT = 100, "    "
SHOWN = {"ok": "ok", "failed": "FAILED", "unchecked": "could not be checked"}


def verify(
    model: Model = None,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Texts to check with (what embed reads; the first {MOST_TEXTS:,})."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    revision: Revision = None,
    offline: Offline = False,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Check a model against the reference libraries, against itself among neighbours, and saved against loaded.

    Every check prints the largest difference, as a share of the largest value, and what is allowed.
    """
    import json

    import vitrail
    from vitrail.api.checks import WORST_COSINE_LOSS, sequences_of
    from vitrail.checkpoints.hub import locate
    from vitrail.cli.verify_texts import TEXTS

    chosen = TEXTS if texts is None else read_texts(texts)
    snapshot = locate(model, revision=revision, offline=offline)
    encoder = vitrail.load(snapshot.folder, device=device, precision=precision, threads=threads)
    tokens = sum(map(len, sequences_of(encoder, chosen)))
    description: dict[str, Any] = {
        "name": snapshot.name,
        "revision": snapshot.revision,
        "device": str(encoder.device),
        "precision": encoder.precision,
        "texts": len(chosen) if encoder.tokenizer is not None else 0,
        "tokens": tokens,
    }
    if not as_json:
        print_title(description)
    found = []
    plain = encoder
    if encoder.precision in WORST_COSINE_LOSS:
        plain = vitrail.load(snapshot.folder, device=device, threads=threads)
    for check in checks(encoder, plain, snapshot.folder, chosen):
        found.append(check)
        if not as_json:
            print_check(check)
    outcomes = {check.outcome for check in found}
    code = 1 if "failed" in outcomes else 3 if "unchecked" in outcomes else 0
    if as_json:
        listed = [vars(check) | {"difference": _finite(check.difference)} for check in found]
        print(json.dumps(description | {"checks": listed, "exit_code": code}, ensure_ascii=False, indent=2))
    if code:
        raise typer.Exit(code)


def checks(encoder: "Encoder", plain: "Encoder", folder: Path, texts: Sequence[str]) -> Iterator["Check"]:
    """Every check that this model allows, as it is done.

    `plain` is the same model in float32, where the encoder's precision has a cost to be told. Of an encoder in int8, it
    is what other libraries are compared with.
    """
    from vitrail.api import checks as own
    from vitrail.checkpoints.sentence_transformers import read_sentence_transformer
    from vitrail.cli import oracle

    exact = plain if encoder.precision == "int8" else encoder
    described = read_sentence_transformer(folder)
    sequences = own.sequences_of(exact, texts)
    tolerance = own.TOLERANCES[exact.precision]

    def by_transformers() -> "Check":
        answer = oracle.hidden_states(folder if described is None else described.encoder_folder, sequences)
        ours, note = own.hidden_states(exact, sequences), f"hidden states against {answer.version} in float32"
        return own.compared("transformers", ours, answer.rows, tolerance=tolerance, note=note)

    def by_sentence_transformers() -> "Check":
        answer = oracle.vectors(folder, texts)
        ours, note = _vectors(exact, texts), f"vectors against {answer.version} in float32"
        return own.compared("sentence-transformers", ours, answer.rows, tolerance=tolerance, note=note)

    if encoder.family.architecture is None:
        note = "a model in vitrail's own format has no counterpart there: nothing to compare with"
        yield own.Check(name="transformers", outcome="unchecked", difference=None, tolerance=tolerance, note=note)
    else:
        yield _asked("transformers", by_transformers)
        if described is not None and encoder.tokenizer is not None:
            yield _asked("sentence-transformers", by_sentence_transformers)
    yield own.attempted("alone or together", lambda: own.check_neighbours(encoder, texts))
    yield own.attempted("fast path or reference", lambda: own.check_reference_kernel(exact, sequences))
    if plain is not encoder and encoder.tokenizer is not None:
        yield own.attempted(f"cost of {encoder.precision}", lambda: own.check_cost(encoder, plain, texts))
    yield own.attempted("saved and loaded", lambda: own.check_saved(encoder, texts))


def _asked(name: str, check: "Callable[[], Check]") -> "Check":
    """A check against a reference library, which may not be there."""
    from vitrail.api.checks import Check, attempted
    from vitrail.cli.oracle import Unavailable

    try:
        return attempted(name, check)
    except Unavailable as error:
        return Check(name=name, outcome="unchecked", difference=None, tolerance=None, note=str(error))


def _vectors(encoder: "Encoder", texts: Sequence[str]) -> Any:
    import warnings

    from vitrail.errors import TruncationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # both libraries cut the long texts
        return encoder.embed(texts, show_progress=False)


def read_texts(path: Path) -> list[str]:
    """The first texts of a file of any format that `embed` reads."""
    from itertools import islice

    from vitrail.files.reading import read_rows

    texts = [row.text for row in islice(read_rows([str(path)]), MOST_TEXTS) if row.text is not None]
    if not texts:
        raise ValueError(f"{path} holds no texts to check with")
    return texts


def print_title(description: dict[str, Any]) -> None:
    from vitrail.cli.search import printable

    what = f"{description['texts']} texts" if description["texts"] else "random ids, as there is no tokenizer"
    where = f"{description['precision']} on {description['device']}, {what}, {description['tokens']:,} tokens"
    print(f"{printable(description['name'])}: {where}\n", flush=True)


def print_check(check: "Check") -> None:
    from textwrap import fill

    from vitrail.cli.search import printable

    if check.difference is None:
        measured = ""
    else:
        sign = "≤" if check.outcome == "ok" else ">"
        measured = f"{check.difference:.2g} {sign} {check.tolerance:g}"
    note = fill(printable(check.note), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    print(f"{check.name:<24}{measured:<18}{SHOWN[check.outcome]}\n{note}", flush=True)


def _finite(difference: float | None) -> float | None:
    return difference if difference is not None and math.isfinite(difference) else None
