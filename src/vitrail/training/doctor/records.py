"""Files and their columns: what cannot be read, is not there, or is not of its kind."""

from collections import defaultdict
from collections.abc import Iterator
from difflib import get_close_matches
from typing import cast

from vitrail.files.lines import BOM, open_bytes
from vitrail.training.datasets.config import HUB
from vitrail.training.datasets.rows import Fault
from vitrail.training.doctor.finding import Finding, Hit, finding
from vitrail.training.doctor.view import View


def empty_split(view: View) -> Iterator[Finding]:
    for split, rows in view.rows.items():
        if not rows and not view.faults[split]:
            remedy = "Name a file with rows, or leave this part of the data out."
            yield Finding(
                id="empty-split", severity="error", split=split, message="there are no rows", remedy=remedy, count=0
            )


def not_all_examined(view: View) -> Iterator[Finding]:
    for split in view.cut:
        count = len(view.rows[split]) + len(view.faults[split])
        message = f"only the first {count:,} rows were examined"
        remedy = "Examine the rest in parts, as files of their own."
        yield Finding(id="not-all-examined", severity="note", split=split, message=message, remedy=remedy, count=count)


def byte_order_mark(view: View) -> Iterator[Finding]:
    remedy = "Nothing needs to be done: it is dropped. Other tools may take it for a part of the first column's name."
    for split in view.rows:
        files = view.config.files(split)
        for source in files.values() if isinstance(files, dict) else files:
            if not source.startswith(HUB):
                with open_bytes(source) as stream:
                    begins = stream.read(3) == BOM
                hits = [(0, source)] if begins else []
                yield from finding(
                    "byte-order-mark", "note", split, f"{source} begins with a byte order mark", remedy, hits
                )


def missing_column(view: View) -> Iterator[Finding]:
    for split, faults in view.faults.items():
        for (role, column), those in by_column(faults, "column").items():
            columns = cast(tuple[str, ...], those[0].value)
            near = get_close_matches(column, columns, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            remedy = f"Name the column that holds the {role}.{hint}"
            shown = f"there is no column {column!r} for the role {role!r}; there are: {', '.join(columns) or 'none'}"
            yield from finding("missing-column", "error", split, f"{shown} ({{}})", remedy, hits_of(those))


def not_utf8(view: View) -> Iterator[Finding]:
    remedy = "Save it as UTF-8: iconv -f gb18030 -t utf-8 (or -f cp1252, for a file from Windows in the West)."
    for split, faults in view.faults.items():
        hits = hits_of([fault for fault in faults if fault.kind == "encoding"])
        yield from finding("bad-utf8", "error", split, "{} not in UTF-8", remedy, hits)


def unreadable_record(view: View) -> Iterator[Finding]:
    remedy = "Repair or delete these lines. Too many fields: is the text quoted, is that the delimiter?"
    for split, faults in view.faults.items():
        hits = hits_of([fault for fault in faults if fault.kind == "record"])
        yield from finding("unreadable-record", "error", split, "{} cannot be read", remedy, hits)


def line_counts_differ(view: View) -> Iterator[Finding]:
    for split, faults in view.faults.items():
        ended = [fault for fault in faults if fault.kind == "ended"]
        if ended:
            message = f"{ended[0].reason}, where the other goes on ({{}} without their counterpart)"
            remedy = "Find the first line where the files part, not only the end: from there on every pair is wrong."
            yield from finding("line-counts-differ", "error", split, message, remedy, hits_of(ended))


def missing_value(view: View) -> Iterator[Finding]:
    for split, faults in view.faults.items():
        for (_, column), those in by_column(faults, "missing").items():
            message = f"{{}} with nothing in the column {column!r} (null, NaN or empty)"
            yield from finding("missing-value", "error", split, message, "Fill or delete them.", hits_of(those))


def wrong_type(view: View) -> Iterator[Finding]:
    for split, faults in view.faults.items():
        for (role, column), those in by_column(faults, "type").items():
            message = f"{{}} with something else than {role} in the column {column!r}"
            remedy = "Write the values as what the role takes; a text as a string. Is it the right column?"
            yield from finding("wrong-type", "error", split, message, remedy, hits_of(those))


def not_a_number(view: View) -> Iterator[Finding]:
    for split, faults in view.faults.items():
        for (_, column), those in by_column(faults, "number").items():
            message = f"{{}} without a finite number in the column {column!r}"
            yield from finding(
                "not-a-number", "error", split, message, "Write a number, or delete them.", hits_of(those)
            )


def length_mismatch(view: View) -> Iterator[Finding]:
    remedy = "Give every token its one tag. Was one of them parted at a space inside a token?"
    for split, faults in view.faults.items():
        hits = hits_of([fault for fault in faults if fault.kind == "length"])
        yield from finding("length-mismatch", "error", split, "{} with more tokens than tags, or fewer", remedy, hits)


def by_column(faults: list[Fault], kind: str) -> dict[tuple[str, str], list[Fault]]:
    found: dict[tuple[str, str], list[Fault]] = defaultdict(list)
    for fault in faults:
        if fault.kind == kind:
            found[fault.role or "", fault.column or ""].append(fault)
    return found


def hits_of(faults: list[Fault]) -> list[Hit]:
    def shown(fault: Fault) -> str:
        value = "" if fault.kind == "column" or fault.value is None else f": {fault.value!r}"
        return fault.reason + value

    return [(fault.row, shown(fault)) for fault in faults]
