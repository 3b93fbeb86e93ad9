"""`vitrail predict`: files of rows into a file of what a model's task says of them."""

import sys
from collections.abc import Sequence
from io import TextIOBase
from typing import Annotated, cast

import typer

from vitrail.cli.options import BatchTokens, Device, Format, Inputs, Offline, Overwrite, Precision, Revision, Threads


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder or a name of the hub, with a task's head.")],
    inputs: Inputs,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help=".parquet or .jsonl; - is JSON lines to stdout.")
    ],
    task: Annotated[str, typer.Option(help="What the head is for; auto: what the model says.")] = "auto",
    column: Annotated[
        list[str] | None,
        typer.Option(help="NAME of the column that holds the text, or ROLE=NAME (text_pair=…, question=…, context=…)."),
    ] = None,
    file_format: Format = None,
    revision: Revision = None,
    precision: Precision = "auto",
    device: Device = "auto",
    threads: Threads = None,
    batch_tokens: BatchTokens = None,
    offline: Offline = False,
    overwrite: Overwrite = False,
) -> None:
    """Say what the model's task makes of every row: a label, spans, an answer, a score.

    The output has the input's columns, and the result in columns named predicted_….

    A row that cannot be used keeps its place, with the reason in `error`; the exit code is then 1.
    """
    from vitrail.jobs.predict_job import check_output, predict_job

    check_output(output, overwrite=overwrite)

    import vitrail

    encoder = vitrail.load(
        model, task=task, revision=revision, device=device, precision=precision, threads=threads, offline=offline
    )
    roles = encoder.need_task().asks
    report = predict_job(
        lambda rows: encoder.predict(rows, batch_tokens=batch_tokens, show_progress=False),
        inputs,
        cast(TextIOBase, sys.stdout) if output == "-" else output,
        roles=roles,
        columns=columns_of_roles(column or [], roles),
        file_format=file_format,
        description={
            "task": encoder.need_task().name,
            "name": encoder.name,
            "revision": encoder.revision,
            "weights_sha256": encoder.weights_sha256,
            "precision": encoder.precision,
        },
    )
    print(f"vitrail: {report}", file=sys.stderr)
    if report.errors:
        raise typer.Exit(1)


def columns_of_roles(given: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
    """The column of each role that has one of another name."""
    columns = {}
    for each in given:
        role, _, name = each.rpartition("=")
        role = role or roles[0]
        if role not in roles:
            raise ValueError(f"--column {each}: this model's task reads {', '.join(roles)}, not {role!r}")
        columns[role] = name
    return columns
