"""`vitrail embed`: files of texts into a file of vectors."""

import sys
from io import TextIOBase
from typing import Annotated, cast

import typer

from vitrail.cli.options import BatchTokens, Device, Format, Inputs, Offline, Overwrite, Precision, Revision, Threads


def embed(
    inputs: Inputs,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help=".parquet, .jsonl or .npy; - is JSON lines to stdout.")
    ],
    tokens: Annotated[bool, typer.Option("--tokens", help="One vector per token instead of one per text.")] = False,
    column: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    file_format: Format = None,
    model: Annotated[str | None, typer.Option(help="A name of the hub or a folder; else the default model.")] = None,
    revision: Revision = None,
    prompt: Annotated[str | None, typer.Option(help="The prompt to put before every text.")] = None,
    dimensions: Annotated[int | None, typer.Option(help="Keep so many of the first dimensions.")] = None,
    normalize: Annotated[
        bool | None, typer.Option("--normalize/--no-normalize", help="Vectors of length 1; else as the model says.")
    ] = None,
    overlong: Annotated[
        str, typer.Option(help="Texts longer than the model takes: truncate, error or window.")
    ] = "truncate",
    precision: Precision = "auto",
    device: Device = "auto",
    threads: Threads = None,
    batch_tokens: BatchTokens = None,
    offline: Offline = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn every text of the inputs into a vector.

    Run again after an interruption, it goes on where it stopped.

    A row that cannot be embedded keeps its place, with the reason in `error`; the exit code is then 1.
    """
    from vitrail.jobs.embed_job import check_paths, embed_job, embed_to_stream
    from vitrail.jobs.encoding import EmbedOptions

    options = EmbedOptions(
        tokens=tokens,
        prompt=prompt,
        normalize=normalize,
        dimensions=dimensions,
        overlong=overlong,
        batch_tokens=batch_tokens,
    )
    check_paths(inputs, output, file_format=file_format, tokens=tokens, overwrite=overwrite)

    import vitrail

    encoder = vitrail.load(
        model, revision=revision, device=device, precision=precision, threads=threads, offline=offline
    )
    if output == "-":
        stdout = cast(TextIOBase, sys.stdout)
        report = embed_to_stream(encoder, inputs, stdout, options=options, column=column, file_format=file_format)
    else:
        report = embed_job(
            encoder, inputs, output, options=options, column=column, file_format=file_format, overwrite=overwrite
        )
    print(f"vitrail: {report}", file=sys.stderr)
    if report.errors:
        raise typer.Exit(1)
