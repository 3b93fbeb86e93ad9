"""What stands in a text that nobody wrote: nothing, the trace of a table, wrong decoding, control characters."""

import re
from collections.abc import Callable, Iterator

from vitrail.training.doctor.finding import Finding, Severity, finding
from vitrail.training.doctor.view import View

WORDS_OF_A_GAP = frozenset(["nan", "NaN", "null", "NULL", "None", "<NA>", "#N/A"])
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# What the bytes 80 to FF look like in Windows-1252 or Latin-1.
HIGH = "\x80-\xffŒœŠšŸŽžƒˆ˜–—‘-„†-•…‰‹›€™"
RUN = re.compile(f"[{HIGH}]{{2,}}")
# UTF-8 of Latin, Greek, Cyrillic letters (two bytes), most other scripts and signs (three), emoji (four).
SEQUENCE = re.compile(rb"[\xc2\xc3\xce-\xd1][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}")
REPLACED_TWICE = "锟斤拷"
"""Two U+FFFD in UTF-8, read as GBK."""


def empty_text(view: View) -> Iterator[Finding]:
    remedy = "Fill or delete them: every empty text is the same input, whatever its label."
    yield from where(view, "empty-text", "{} with an empty text", remedy, lambda text: not text.strip())


def text_of_a_gap(view: View) -> Iterator[Finding]:
    message = "{} whose whole text is a word that tables write for nothing (nan, null, None)"
    remedy = "Delete them, or write the file again without filling its gaps."
    yield from where(view, "nan-text", message, remedy, lambda text: text.strip() in WORDS_OF_A_GAP)


def mojibake(view: View) -> Iterator[Finding]:
    message = "{} with text that was decoded wrongly once (é become Ã©)"
    remedy = "Read the original again as UTF-8; or repair with text.encode('cp1252').decode('utf-8')."
    yield from where(view, "mojibake", message, remedy, is_mojibake)


def replacement_character(view: View) -> Iterator[Finding]:
    message = "{} with U+FFFD, which stands where a character was lost"
    remedy = "Read the original again in its own encoding; what was lost cannot be repaired here."
    yield from where(view, "replacement-character", message, remedy, lambda text: "\ufffd" in text)


def control_characters(view: View) -> Iterator[Finding]:
    message = "{} with control characters, which a tokenizer drops or takes for unknown"
    remedy = "Delete them; 80 to 9F are often quotes and dashes of Windows-1252."
    yield from where(view, "control-characters", message, remedy, lambda text: bool(CONTROL.search(text)))


def where(
    view: View, id: str, message: str, remedy: str, is_so: Callable[[str], bool], severity: Severity = "warning"
) -> Iterator[Finding]:
    """The rows of each split that have a text of which `is_so` holds."""
    for split in view.rows:
        rows: dict[int, str] = {}
        for row, role, text in view.texts(split):
            if is_so(text):
                rows.setdefault(row, f"{role} {text!r}")
        yield from finding(id, severity, split, message, remedy, list(rows.items()))


def is_mojibake(text: str) -> bool:
    if text.isascii():
        return False
    return REPLACED_TWICE in text or any(SEQUENCE.search(as_bytes(run)) for run in RUN.findall(text))


def as_bytes(run: str) -> bytes:
    """The bytes that Windows-1252 reads as these characters; where it has none, those of Latin-1; else a gap."""
    return b"".join(
        sign.encode("latin-1") if ord(sign) < 0x100 else sign.encode("cp1252", errors="replace") for sign in run
    )
