"""The data as the checks see it: rows and faults of each split, up to a bound that is said when it is reached."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from vitrail.tasks.task import Role
from vitrail.tokenization import Tokenizer
from vitrail.training.datasets.config import SPLITS, DataConfig, Split
from vitrail.training.datasets.rows import Fault, RowByRole, read_split

MOST_ROWS = 1_000_000
MOST_CHARACTERS = 500_000_000
"""Of the texts of one split."""


@dataclass(kw_only=True)
class View:
    """rows: by split, without those at fault. cut: the splits of which only the beginning was read."""

    config: DataConfig
    roles: Sequence[Role]
    rows: dict[Split, list[RowByRole]] = field(default_factory=dict)
    faults: dict[Split, list[Fault]] = field(default_factory=dict)
    cut: list[Split] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    max_length: int | None = None

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the roles of these kinds."""
        return [role.name for role in self.roles if role.kind in kinds and role.name != "id"]

    def texts(self, split: Split) -> Iterator[tuple[int, str, str]]:
        """(number of the row, role, text) of all texts of a split; tokens are joined by spaces."""
        names = self.of_kind("text", "texts", "tokens")
        for row in self.rows[split]:
            for name in names:
                value = row.get(name)
                if value is not None:
                    yield row["row"], name, value if isinstance(value, str) else " ".join(value)


def read_view(config: DataConfig, roles: Sequence[Role], *, offline: bool) -> View:
    view = View(config=config, roles=roles)
    for split in SPLITS:
        if not config.files(split):
            continue
        view.rows[split], view.faults[split] = [], []
        characters = 0
        stream = read_split(config, split, roles, offline=offline)
        for item in islice(stream, MOST_ROWS):
            if isinstance(item, Fault):
                view.faults[split].append(item)
            else:
                view.rows[split].append(item)
                characters += sum(len(value) for value in item.values() if isinstance(value, str))
            if characters > MOST_CHARACTERS:
                break
        if next(stream, None) is not None:
            view.cut.append(split)
    return view
