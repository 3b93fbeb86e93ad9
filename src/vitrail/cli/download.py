"""`vitrail download`: bring a model to this machine, for use without a network."""

from typing import Annotated

import typer


def download(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model of the hub; else the default model.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
) -> None:
    """Download a model of the hub into the hub's cache, and print its folder."""
    from vitrail.checkpoints import hub

    print(hub.download(name or hub.DEFAULT_MODEL, revision=revision).folder)
