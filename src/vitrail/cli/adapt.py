"""`vitrail adapt`: an encoder made familiar with a domain, and kept only if it is better at your task."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def adapt(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file: model, data, vocabulary, training, …")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="On top of it, as vocabulary.most=500.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where everything is kept.")
    ] = None,
    lexicon: Annotated[
        str | None, typer.Option(metavar="FILE", help="Words to become tokens: vocabulary.lexicon.")
    ] = None,
    downstream: Annotated[
        str | None, typer.Option(metavar="CONFIG", help="A task to compare on, as for `train`: downstream.config.")
    ] = None,
    forgetting: Annotated[
        str | None, typer.Option(metavar="FILE", help="Scored pairs of general text, or the folder of STS-B.")
    ] = None,
    examine: Annotated[bool, typer.Option("--examine", help="Only say how the words shatter.")] = False,
) -> None:
    """Continue training on a domain's text, with its words added, and keep the result only if it wins.

    FOLDER holds report.md and report.json, and in FOLDER/model the adapted model where it was kept. Exit code 0 also
    where it was not: that is a result.
    """
    import json

    import vitrail

    given = {"vocabulary.lexicon": lexicon, "downstream.config": downstream, "forgetting": forgetting}
    changes = [*(overrides or ()), *(f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None)]
    if examine:
        from vitrail.training.adapt import assembly
        from vitrail.training.adapt.report import examined, vocabulary

        facts = assembly.examine(config, overrides=changes)
        print("\n".join([*examined(facts["words_before"]), *vocabulary(facts["vocabulary"])]).rstrip())
        return
    if output is None:
        raise ValueError("say with -o FOLDER where the adapted model and the report are to be kept, or give --examine")
    result = vitrail.adapt(config, output, overrides=changes)
    print(f"vitrail: {len(result.words)} words added; see {result.folder / 'report.md'}", file=sys.stderr)
    kept = f"kept, in {result.model}" if result.model is not None else "not kept"
    print(f"vitrail: the adapted model was {kept}: {result.reason}", file=sys.stderr)
