"""`OUT.partial/`: the finished parts of a job, what the job was begun with, and the lock that keeps it to one process.

    manifest.json          the fingerprint; there before the first part
    part-000000.parquet …  whole, or not there: written under another name, flushed to the disk, renamed
    finished.json          size and time of the output that is about to take its place, and the report
    lock                   held by the process that works here; the system lets it go when the process dies

The folder itself is the record of what is done, so no second record can disagree with it.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vitrail.errors import FingerprintMismatch, JobError
from vitrail.jobs.encoding import Part
from vitrail.jobs.fingerprint import STREAM, changed, file_state
from vitrail.jobs.kill_points import kill_point


class PartialFolder:
    """Use as a context manager: entering takes the lock, leaving lets it go."""

    def __init__(self, output: Path):
        self.output = output
        self.path = output.with_name(output.name + ".partial")
        self.manifest = self.path / "manifest.json"
        self.finished = self.path / "finished.json"
        self.lock: int | None = None

    def __enter__(self) -> "PartialFolder":
        while self.lock is None:
            self.path.mkdir(exist_ok=True)
            name = self.path / "lock"
            try:
                lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # the holder before us finished just now, and removed the folder
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if name.exists() and os.path.samestat(os.fstat(lock), name.stat()):
                    self.lock = lock  # otherwise, too, it was removed
            except BlockingIOError as error:
                raise JobError(
                    f"another process is writing {self.output}; wait for it, or choose another OUT."
                ) from error
            finally:
                if self.lock is None:
                    os.close(lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self.parts():
            shutil.rmtree(self.path, ignore_errors=True)  # nothing is lost; a corrected command starts clean
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def begun(self) -> bool:
        """Whether an earlier run left something here to go on with."""
        return self.manifest.exists()

    def begin_or_resume(self, now: Mapping[str, Any]) -> None:
        """Compare `now` with the fingerprint of the parts that are there; without parts, record it.

        Parts that were read from a stream are of no use to anybody and removed.
        """
        if self.begun() and self.parts():
            then = json.loads(self.manifest.read_text(encoding="utf-8"))
            if STREAM not in then.values():
                if differing := changed(then, now):
                    raise FingerprintMismatch(str(self.path), differing)
                return
        self.empty(but=("lock",))
        write_whole(self.manifest, json.dumps(dict(now), indent=1))

    def parts(self) -> list[Path]:
        """The finished parts, in order."""
        return sorted(self.path.glob("part-*.parquet"))

    def numbers(self) -> set[int]:
        """Which parts are finished; when several processes write them, not always the first ones."""
        return {int(part.stem.removeprefix("part-")) for part in self.parts()}

    def counts(self, number: int) -> tuple[int, dict[str, int]]:
        """(rows, `Part.counts`) of a finished part, from its footer."""
        import pyarrow.parquet as pq

        metadata = pq.read_metadata(self._place(number))
        return metadata.num_rows, json.loads(metadata.metadata[b"counts"])

    def add(self, number: int, part: Part) -> None:
        """Write a part: whole on the disk before it has its name."""
        import pyarrow.parquet as pq

        table = part.table.replace_schema_metadata({"counts": json.dumps(part.counts())})
        name = self._place(number)
        temporary = name.with_suffix(".tmp")
        pq.write_table(table, temporary, use_dictionary=False)
        flush_to_disk(temporary)
        kill_point("in-part")
        temporary.replace(name)
        flush_to_disk(self.path)
        kill_point("after-part")

    def finish(self, merged: list[tuple[Path, Path]], report: Mapping[str, Any]) -> None:
        """Move files that are whole to their places (the output last), and remove the folder."""
        for temporary, _ in merged:
            flush_to_disk(temporary)
        write_whole(self.finished, json.dumps({"output": file_state(merged[-1][0]), "report": dict(report)}))
        kill_point("after-merge")
        for temporary, place in merged:
            temporary.replace(place)
        flush_to_disk(self.output.parent)
        kill_point("after-rename")
        self.remove()

    def report_of_finished(self) -> dict[str, Any] | None:
        """The report, when an earlier run was killed after the output had taken its place; None otherwise."""
        if not (self.finished.exists() and self.output.exists()):
            return None
        record = json.loads(self.finished.read_text(encoding="utf-8"))
        return record["report"] if record["output"] == list(file_state(self.output)) else None

    def remove(self) -> None:
        self.empty(but=("finished.json", "lock"))  # killed in between, the next run still sees that all is done
        shutil.rmtree(self.path)

    def _place(self, number: int) -> Path:
        return self.path / f"part-{number:06d}.parquet"

    def empty(self, *, but: tuple[str, ...]) -> None:
        for path in self.path.iterdir():
            if path.name not in but:
                path.unlink()


def write_whole(path: Path, content: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content, encoding="utf-8")
    flush_to_disk(temporary)
    temporary.replace(path)


def flush_to_disk(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
