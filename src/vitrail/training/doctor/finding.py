"""One thing that is wrong with the data: what, where, how often, and what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
MOST_EXAMPLES = 3
MOST_ROWS = 1000
WIDEST_EXAMPLE = 160


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found in one split.

    id: the name of the check, the same in every version. severity: with an error training would fail or learn what is
    wrong, and `vitrail train` refuses; a warning lowers the score, or the trust in it; a note is for knowing. count:
    how many rows (labels, where it is about those). rows: numbers of the first of them in their file, from 0.
    examples: at most three, each with its row.
    """

    id: str
    severity: Severity
    split: str
    message: str
    remedy: str
    count: int
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


Hit = tuple[int, str]
"""The number of a row, and what is to be seen there."""


def finding(id: str, severity: Severity, split: str, message: str, remedy: str, hits: Sequence[Hit]) -> list[Finding]:
    """The finding of these hits: none when there are none. `{}` in the message stands for their number."""
    if not hits:
        return []
    examples = tuple(f"row {row}: {shortened(shown)}" for row, shown in hits[:MOST_EXAMPLES])
    return [
        Finding(
            id=id,
            severity=severity,
            split=split,
            message=message.replace("{}", f"{len(hits):,} row{'s' * (len(hits) > 1)}"),
            remedy=remedy,
            count=len(hits),
            rows=tuple(row for row, _ in hits[:MOST_ROWS]),
            examples=examples,
        )
    ]


def shortened(text: str) -> str:
    """On one line, without what could steer a terminal, and not too wide."""
    line = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in " ".join(text.split(" ")))
    return line if len(line) <= WIDEST_EXAMPLE else line[: WIDEST_EXAMPLE - 1] + "…"
