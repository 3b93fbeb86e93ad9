"""`vitrail embed`: files of texts into a file of vectors."""

import sys
from functools import partial
from io import TextIOBase
from typing import Annotated, cast

import typer

from vitrail.cli.options import (
    BatchTokens,
    Device,
    Devices,
    Format,
    Inputs,
    Offline,
    Overwrite,
    Precision,
    Revision,
    Threads,
)


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
    devices: Devices = None,
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
    first, *others = _chosen_devices(device, devices, output)
    check_paths(inputs, output, file_format=file_format, tokens=tokens, overwrite=overwrite)

    import vitrail

    load = partial(vitrail.load, model, revision=revision, precision=precision, threads=threads, offline=offline)
    encoder = load(device=first)
    if output == "-":
        stdout = cast(TextIOBase, sys.stdout)
        report = embed_to_stream(encoder, inputs, stdout, options=options, column=column, file_format=file_format)
    else:
        report = embed_job(
            encoder,
            inputs,
            output,
            options=options,
            column=column,
            file_format=file_format,
            overwrite=overwrite,
            helpers=[partial(load, device=each) for each in others],
        )
    print(f"vitrail: {report}", file=sys.stderr)
    if report.errors:
        raise typer.Exit(1)


def _chosen_devices(device: str, devices: str | None, output: str) -> list[str]:
    """One for each process; the first is this one's."""
    if devices is None:
        return [device]
    chosen = [name.strip() for name in devices.split(",")]
    if device != "auto":
        raise ValueError(f"--device {device} and --devices {devices}: name one of the two options")
    if not all(chosen):
        raise ValueError(f"--devices {devices!r}: name each device, such as cuda:0,cuda:1")
    if len({name.partition(":")[0] for name in chosen}) > 1:
        raise ValueError(f"--devices {devices}: their numbers would round differently; name devices of one kind")
    if output == "-" and len(chosen) > 1:
        raise ValueError("several processes cannot write to stdout; name a file with -o")
    return chosen
