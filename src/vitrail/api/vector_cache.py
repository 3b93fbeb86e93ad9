"""Vectors kept on disk, so that a text once embedded is not embedded again.

Content-addressed: the key is a digest of everything the vector depends on (weights, spec, pooling, prompt, options,
text), so an entry can be absent but not wrong. The store is SQLite in write-ahead mode: several processes may use one
file at once.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vitrail.api.embeddings import Embeddings
from vitrail.errors import VitrailError

_FORMAT = 1
_ROWS_PER_QUERY = 500
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class CachedVector:
    vector: Float32[np.ndarray, " dimensions"]
    input_tokens: int
    used_tokens: int
    truncated: bool


class VectorCache:
    """The vectors of one model under one set of options, in the file `path` (which others may share).

    `fingerprint` states the model and the options. Opens the file for each call, so it may be used from any thread.
    """

    def __init__(self, path: Path, fingerprint: str):
        self.path = path
        self._prefix = hashlib.sha256(f"{_FORMAT}\n{fingerprint}".encode()).digest()

    def get(self, texts: Sequence[str]) -> dict[str, CachedVector]:
        """The texts that are there."""
        keys = {self._key(text): text for text in texts}
        found = {}
        with self._open() as connection:
            for some in _parts(list(keys), _ROWS_PER_QUERY):
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, vector, input_tokens, used_tokens, truncated FROM vectors WHERE key IN ({marks})",
                    some,
                )
                for key, vector, input_tokens, used_tokens, truncated in rows:
                    found[keys[key]] = CachedVector(
                        vector=np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False),
                        input_tokens=input_tokens,
                        used_tokens=used_tokens,
                        truncated=bool(truncated),
                    )
        return found

    def put(self, texts: Sequence[str], embeddings: Embeddings) -> None:
        """Keep what was computed; rows that are not finite are left out."""
        finite = np.isfinite(embeddings.vectors).all(axis=1)
        rows = [
            (
                self._key(text),
                embeddings.vectors[row].astype("<f4").tobytes(),
                int(embeddings.input_tokens[row]),
                int(embeddings.used_tokens[row]),
                bool(embeddings.truncated[row]),
            )
            for row, text in enumerate(texts)
            if finite[row]
        ]
        if rows:
            with self._open() as connection:
                connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?, ?)", rows)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._prefix + text.encode("utf-8", "surrogatepass")).digest()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the file; whatever the store finds wrong is an error that names it."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_TIMEOUT_SECONDS)) as connection, connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, input_tokens "
                    "INTEGER NOT NULL, used_tokens INTEGER NOT NULL, truncated INTEGER NOT NULL) WITHOUT ROWID"
                )
                yield connection
        except sqlite3.Error as error:
            raise VitrailError(
                f"{self.path} cannot be used as a cache of vectors ({error}). Name another file, or delete it."
            ) from error


def _parts(items: list[bytes], size: int) -> Iterable[list[bytes]]:
    return (items[start : start + size] for start in range(0, len(items), size))
