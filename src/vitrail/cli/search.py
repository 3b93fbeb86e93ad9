"""`vitrail search`: the rows of an embeddings file nearest to a query, by the model that made the file."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vitrail.errors import JobError, ModelNotFound


def search(
    embeddings: Annotated[Path, typer.Argument(metavar="EMBEDDINGS", help="What `vitrail embed` wrote.")],
    queries: Annotated[list[str], typer.Argument(metavar="QUERY", help="One or more texts to look for.")],
    count: Annotated[int, typer.Option("-k", min=1, help="How many rows to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per hit instead of a table.")] = False,
    show: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Show this column of the input too; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now, if the file's name for it is stale.")
    ] = None,
) -> None:
    """Find the texts nearest in meaning to each query. Exact; ties in order of the rows."""
    from vitrail.api.choices import role_prompt
    from vitrail.files.embeddings import read_description
    from vitrail.jobs.nearest import nearest

    description = read_description(embeddings)
    encoder = load_maker(description, model, embeddings)
    vectors = encoder.embed_detailed(
        queries,
        prompt=role_prompt(encoder.prompts, "query"),
        normalize=description["normalized"],
        dimensions=description["dimensions"],
    ).vectors
    cosine = not description["normalized"] and encoder.similarity_name != "dot"
    found = nearest(embeddings, vectors, count=count, cosine=cosine, column=description.get("column"), show=show or ())
    for query, hits in zip(queries, found.hits, strict=True):
        if as_json:
            for rank, hit in enumerate(hits, start=1):
                print(json.dumps({"query": query, "rank": rank, **hit._asdict()}, ensure_ascii=False))
        else:
            print_table(query, hits, show or [])
    skipped = f" (skipped without a vector: {found.skipped:,})" if found.skipped else ""
    measure = "cosine" if cosine else "dot product"
    print(f"vitrail: searched {found.searched:,} rows by {measure}{skipped}", file=sys.stderr)


def load_maker(description: dict[str, Any], model: str | None, embeddings: Path) -> Any:
    """The model that made the file. A name that merely stands in a file never causes network traffic."""
    import vitrail

    precision = description["precision"]
    if model is not None:
        encoder = vitrail.load(model, precision=precision)
    else:
        try:
            encoder = vitrail.load(
                description["name"], revision=description["revision"], precision=precision, offline=True
            )
        except ModelNotFound:  # the same weights may be here as another revision; compared below
            encoder = vitrail.load(description["name"], precision=precision, offline=True)
    if encoder.weights_sha256 != description["weights_sha256"]:
        raise JobError(
            f"{embeddings} was made by a model whose weights have the sha256 {description['weights_sha256']}; those of "
            f"{model or description['name']} have {encoder.weights_sha256}. Name that model (--model), or embed again."
        )
    return encoder


def print_table(query: str, hits: list[Any], show: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(query)), title_justify="left", box=None, expand=True, pad_edge=False)
    for heading in ("rank", "score", "row"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in show:
        table.add_column(Text(printable(name)), no_wrap=True, overflow="ellipsis", max_width=32)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for rank, hit in enumerate(hits, start=1):
        shown = ("" if value is None else str(value) for value in hit.columns.values())
        cells = [Text(printable(value)) for value in (*shown, hit.text or "")]
        table.add_row(str(rank), f"{hit.score:.4f}", str(hit.row), *cells)
    Console(highlight=False).print(table)


def printable(text: str) -> str:
    """The start of a text in one line, without the control characters that could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:1000])
