"""`vitrail inspect`: what a person wants to know of a model before using it.

`--json` prints the facts as one object; api/facts.py lists its keys, to which this verb adds `source` (folder, package,
hub cache or hub) and `folder` (where the files are).
"""

from typing import Annotated

import typer

from vitrail.cli.options import Device, Model, Offline, Precision, Revision


def inspect(
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same facts as one JSON object, in full.")] = False,
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", metavar="N", help="Count the operations for texts of N tokens; may be repeated."),
    ] = None,
    revision: Revision = None,
    offline: Offline = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Show what a model is: its parts, what they cost, and what will run on this machine.

    The model is loaded, so everything shown was checked.
    """
    import json

    import vitrail
    from vitrail.api.facts import facts_of
    from vitrail.checkpoints.hub import locate
    from vitrail.cli.inspect_page import print_page

    snapshot = locate(model, revision=revision, offline=offline)
    encoder = vitrail.load(snapshot.folder, device=device, precision=precision)
    where = {"name": snapshot.name, "source": snapshot.source, "revision": snapshot.revision}
    facts = where | {"folder": str(snapshot.folder)} | facts_of(encoder, lengths=lengths or ()) | where
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        print_page(facts, encoder.spec)
