"""The facts of a plan as a page for a terminal."""

from collections.abc import Mapping
from shutil import get_terminal_size
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitrail.cli.inspect_page import WIDTH, heading, percent, table_of
from vitrail.intervals import plus_or_minus

# (key of the parameters, key of the multiply-adds, what it is)
PARTS = (
    ("embeddings", "embeddings", "embeddings"),
    ("attention", "projections", "attention: projections"),
    (None, "scores_and_mixing", "attention: scores, mixing"),
    ("relation", "distances", "distances"),
    ("feed_forward", "feed_forward", "feed-forward"),
    ("norms", None, "norms"),
)


def print_arithmetic(facts: Mapping[str, Any]) -> None:
    console = _console(WIDTH)
    shape = facts["shape"]
    console.print(Text(f"{_named(shape)}, hidden size {facts['hidden_size']:,}", style="bold"))
    console.print(heading(f"Where it goes, for a text of {facts['length']:,} tokens"), _parts(facts), sep="\n")
    console.print(_balance(facts))
    console.print(heading("How many heads?"), _heads(facts), sep="\n")
    kept = facts["budget"].replace("_", "-")
    console.print(heading(f"The same {kept}, shared out otherwise"), _splits(facts), sep="\n")
    console.print("\nWhat is better for your data is measured: vitrail plan CONFIG.yaml --measure -o FOLDER")


def print_measured(facts: Mapping[str, Any]) -> None:
    console = _console(130)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for number, name in enumerate(
        ("shape", "parameters", "multiply-adds", "tokens/s", facts["metric"], "against configured", "")
    ):
        table.add_column(name, justify="left" if number in (0, 6) else "right", no_wrap=number == 0)
    for each in facts["shapes"]:
        table.add_row(
            _named(each),
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
            f"{each['speed']['tokens_per_second']:,.0f}{' ◆' if each['pareto'] else '  '}",
            plus_or_minus(each["score"], ""),
            plus_or_minus(each["difference"], "+"),
            "configured" if each["configured"] else each["verdict"],
        )
    console.print(table)
    console.print("◆ no other shape is both better and faster", style="dim")
    for sentence in facts["verdict"]:
        console.print(f"\n{sentence}")


def _console(width: int) -> Console:
    return Console(highlight=False, markup=False, emoji=False, width=min(width, get_terminal_size((width, 24)).columns))


def _named(shape: Mapping[str, Any]) -> str:
    layers = f"{shape['layers']} layer{'s' * (shape['layers'] != 1)}"
    return f"{layers}, {shape['heads']} × {shape['head_dim']}, FFN {shape['feed_forward']:,}"


def _parts(facts: Mapping[str, Any]) -> Table:
    parameters, work = facts["parameters"], facts["multiply_adds"]
    table = table_of("part", "parameters", "share", "multiply-adds", "share")
    for of_parameters, of_work, words in PARTS:
        row = [words]
        for counts, key in ((parameters, of_parameters), (work, of_work)):
            row += ["", ""] if key is None else [f"{counts[key]:,}", percent(counts[key], counts["total"])]
        if any(counts[key] for counts, key in ((parameters, of_parameters), (work, of_work)) if key is not None):
            table.add_row(*row)
    table.add_row("total", f"{parameters['total']:,}", "", f"{work['total']:,}", "", style="bold")
    table.add_row("without embeddings", f"{parameters['layers']:,}", "", f"{work['total'] - work['embeddings']:,}", "")
    return table


def _balance(facts: Mapping[str, Any]) -> str:
    if facts["balance_length"] is None:
        return "\nScores and mixing never take as much as the linear layers: every layer has a window."
    return (
        f"\nScores and mixing take as much as all linear layers at {facts['balance_length']:,} tokens "
        f"({facts['balance_length'] / facts['hidden_size']:.3g} · hidden size); what is shorter is work of the linear "
        "layers above all."
    )


def _heads(facts: Mapping[str, Any]) -> Table:
    said = (
        "Heads cost nothing: parameters and multiply-adds are the same for all; only head_dim and scale change. "
        "(How fast a machine runs them may differ; --measure says.)"
        if facts["heads_are_free"]
        else "Heads change only the table of distances that each of them has; the products stay the same."
    )
    grid = Table.grid()
    grid.add_row(said)
    table = table_of("heads", "head_dim", "scale", "parameters of the layers", "multiply-adds")
    for each in facts["heads"]:
        table.add_row(
            str(each["heads"]) + (" (now)" if each["heads"] == facts["shape"]["heads"] else ""),
            str(each["head_dim"]),
            f"{each['scale']:.4f}",
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
        )
    grid.add_row(table)
    return grid


def _splits(facts: Mapping[str, Any]) -> Table:
    table = table_of("layers", "attention", "feed-forward", "in attention", "parameters", "multiply-adds", "balance at")
    for each in facts["splits"]:
        now = all(each[axis] == facts["shape"][axis] for axis in ("layers", "width", "feed_forward"))
        table.add_row(
            str(each["layers"]) + (" (now)" if now else ""),
            f"{each['heads']} × {each['head_dim']}",
            f"{each['feed_forward']:,}",
            f"{each['attention_share']:.1%}",
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
            "–" if each["balance_length"] is None else f"{each['balance_length']:,}",
        )
    return table
