"""Where the data of a run stands, and which of its columns plays which part.

A source is a path, several paths that are read one behind the other, a data set of the hub (`hub:NAME`,
`hub:NAME:SPLIT` or `hub:NAME:CONFIGURATION:SPLIT`), or parallel text files: a mapping of roles to files whose lines
belong together. `$NAME` in a path is a variable of the environment.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vitrail.files.records import Format, Layout

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
HUB = "hub:"


def expanded(name: str) -> str:
    """`$VITRAIL_DATA/train.csv` with the variable's value."""
    found = os.path.expandvars(name)
    if unset := re.search(r"\$(\w+)", found):
        raise ValueError(f"{name}: the variable {unset[1]} is not set; set it to the folder that holds the data")
    return found


Name = Annotated[str, AfterValidator(expanded)]
Files = Name | tuple[Name, ...] | dict[str, Name]
Fraction = Annotated[float, Field(gt=0, lt=1)]


def one_character(delimiter: str) -> str:
    delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
    if len(delimiter) != 1:
        raise ValueError(f"a delimiter is one character (or `tab`), not {delimiter!r}")
    return delimiter


class DataConfig(BaseModel):
    """The data of a run. Unknown keys are refused.

    train: a source. validation, test: a source, or the fraction of the training rows to set aside: by `seed`, with the
        labels in the same proportions, and so that rows with an equal text all fall on one side.
    roles: the column that plays a role, for all splits or per split; a column named as the role needs no entry.
        {"text": {"train": "sentence", "validation": "content"}, "label": "stars"}
    format: csv, tsv, jsonl, parquet, conll, squad or text, where the ending of a name does not say it.
    delimiter, quoting: of CSV and TSV; CSV is quoted, TSV is not. columns: names for files without a header, from the
        left; fields further right are not read.
    deduplicate: of the rows with equal inputs, but for case and white space, keep one: the first of its split, and
        that of test before validation before train.
    limit, per_label: keep at most so many training rows (of each label), drawn by `seed`, in their order.
    group: the roles whose equal values tie rows together when a fraction is set aside; None: the texts of the task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Files
    validation: Fraction | Files | None = None
    test: Fraction | Files | None = None
    roles: dict[str, str | dict[Split, str]] = {}
    format: Format | None = None
    delimiter: Annotated[str, AfterValidator(one_character)] | None = None
    quoting: bool | None = None
    columns: tuple[str, ...] | None = None
    deduplicate: bool = False
    limit: Annotated[int, Field(gt=0)] | None = None
    per_label: Annotated[int, Field(gt=0)] | None = None
    group: tuple[str, ...] | None = None
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def suggest_keys(cls, values: Any) -> Any:
        """A misspelt key is refused with the one that was probably meant."""
        from difflib import get_close_matches

        for key in values if isinstance(values, Mapping) else ():
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" It has: {', '.join(cls.model_fields)}."
                raise ValueError(f"data has no key {key!r}.{hint}")
        return values

    @model_validator(mode="after")
    def fractions_leave_rows(self) -> "DataConfig":
        if sum(self.fractions.values()) >= 1:
            raise ValueError("the fractions of validation and test leave nothing to train on; together stay below 1")
        return self

    @property
    def fractions(self) -> dict[Split, float]:
        """The splits that are set aside from the training rows."""
        both: dict[Split, Any] = {"test": self.test, "validation": self.validation}
        return {name: share for name, share in both.items() if isinstance(share, float)}

    @property
    def layout(self) -> Layout:
        return Layout(file_format=self.format, delimiter=self.delimiter, quoted=self.quoting, names=self.columns)

    def files(self, split: Split) -> dict[str, str] | tuple[str, ...]:
        """The source of a split: parallel files by role, or files to be read one behind the other (perhaps none)."""
        source = getattr(self, split)
        if source is None or isinstance(source, float):
            return ()
        return (source,) if isinstance(source, str) else source

    def column(self, role: str, split: Split) -> str:
        """The column that plays `role` in `split`."""
        named = self.roles.get(role, role)
        return named.get(split, role) if isinstance(named, Mapping) else named


def config_of(
    train: Sequence[str], *, validation: Sequence[str] = (), test: Sequence[str] = (), **options: Any
) -> DataConfig:
    """A configuration from words of a command line: a number where a source could stand is a fraction."""

    def source(words: Sequence[str]) -> float | tuple[str, ...] | None:
        if len(words) == 1:
            try:
                return float(words[0])
            except ValueError:
                pass
        return tuple(words) or None

    return DataConfig(train=tuple(train), validation=source(validation), test=source(test), **options)
