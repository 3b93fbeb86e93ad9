"""When two rows ask the same: equal inputs, as they stand or but for case and white space.

A key is a digest of 16 bytes, so that millions of long texts can be compared in little memory.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from vitrail.tasks.task import Role
from vitrail.training.datasets.rows import RowByRole

INPUT_KINDS = frozenset(["text", "tokens"])
TYING_ROLES = ("text", "text_pair", "tokens", "context", "query")
"""The roles whose equal values tie rows together; a document stands beside many queries, and ties nothing."""


def normalised(text: str) -> str:
    """The text in NFKC, without case, and with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def input_key(row: RowByRole, roles: Sequence[Role], *, exact: bool = False) -> bytes:
    """A digest of all texts of a row; an id is none of them."""
    names = [role.name for role in roles if role.kind in INPUT_KINDS and role.name != "id"]
    return digest((text for name in names if name in row for text in (name, *texts_of(row[name]))), exact=exact)


def tying_keys(row: RowByRole, group: Sequence[str] | None) -> list[bytes]:
    """One digest for each value that ties the row to others."""
    names = TYING_ROLES if group is None else group
    return [digest(texts_of(row[name]), exact=False) for name in names if name in row]


def texts_of(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def digest(texts: Iterable[str], *, exact: bool) -> bytes:
    together = "\x1f".join(text if exact else normalised(text) for text in texts)
    return blake2b(together.encode(errors="surrogatepass"), digest_size=16).digest()
