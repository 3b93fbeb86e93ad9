"""Options that several verbs have, each with its one name and its one line of help."""

from typing import Annotated

import typer

Model = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A name of the hub or a folder; else the default model.")
]
Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Files (.txt .csv .tsv .jsonl .parquet, also .gz), or - for stdin."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="text, csv, tsv, jsonl or parquet, whatever the name says.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a model of the hub.")]
Precision = Annotated[str, typer.Option(help="auto, float32, float16, bfloat16 or int8.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, …")]
Devices = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="One process on each, such as cuda:0,cuda:1; INPUT is files then.")
]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU.")]
BatchTokens = Annotated[int | None, typer.Option(help="Tokens in one pass through the model.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
