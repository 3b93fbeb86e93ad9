"""Data sets of the hub, through the library `datasets` when it is installed. Only the prefix `hub:` leads here.

Integers that the data set declares as classes become the names of their classes. No code of a data set is run: versions
of `datasets` that would are refused.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from vitrail.errors import FileFormatError
from vitrail.files.records import Record


def read_hub(source: str, *, split: str, offline: bool) -> Iterator[Record]:
    """The records of `hub:NAME[:CONFIGURATION][:SPLIT]`; without SPLIT that of the same name as ours."""
    name, configuration, wanted = parse(source, split)
    if offline:
        raise FileFormatError(
            f"{source} needs the network, which offline forbids. Save it as Parquet, and name the file."
        )
    table = load(name, configuration, wanted, source=source)
    classes = {column: kind.int2str for column, kind in table.features.items() if hasattr(kind, "int2str")}
    for columns in table:
        for column, to_name in classes.items():
            if isinstance(columns[column], int) and columns[column] >= 0:  # -1 stands for a label that is kept secret
                columns[column] = to_name(columns[column])
        yield Record(0, columns, None, 0)


def parse(source: str, split: str) -> tuple[str, str | None, str]:
    name, *rest = source.split(":")[1:]
    if not name or len(rest) > 2:
        raise ValueError(f"{source!r}: say hub:NAME, hub:NAME:SPLIT or hub:NAME:CONFIGURATION:SPLIT")
    return name, rest[0] if len(rest) == 2 else None, rest[-1] if rest else split


def load(name: str, configuration: str | None, split: str, *, source: str) -> Any:
    try:
        datasets: Any = import_module("datasets")
    except ImportError as error:
        raise FileFormatError(f"{source} needs the library datasets: pip install datasets") from error
    if int(datasets.__version__.split(".")[0]) < 4:
        raise FileFormatError(
            f"datasets {datasets.__version__} may run code of the data set: pip install 'datasets>=4'"
        )
    try:
        return datasets.load_dataset(name, configuration, split=split)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{source} could not be loaded: {str(error).splitlines()[0]}") from error
