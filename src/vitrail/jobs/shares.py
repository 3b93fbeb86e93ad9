"""One job, several processes: each has the encoder on a device of its own and computes every so-manieth part.

Which rows a part holds depends on the input alone, and parts lie in one folder, so the processes share nothing else:
no queue, no messages. The first process holds the lock, computes its own share, counts what the others finish, and
merges. A job may be resumed with another number of processes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitrail.errors import JobError
from vitrail.files.reading import read_rows
from vitrail.jobs.encoding import EmbedOptions, EncoderLike, encode_part, parts_of
from vitrail.jobs.fingerprint import is_stream
from vitrail.jobs.partial_folder import PartialFolder
from vitrail.jobs.progress import Meter

_SECONDS_BETWEEN = 0.2  # of two looks at what the others have done


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all processes of a job know. size: of the vectors."""

    inputs: Sequence[str]
    output: str
    column: str | None
    file_format: str | None
    options: EmbedOptions
    size: int


def check_shared(inputs: Sequence[str]) -> None:
    if streams := [source for source in inputs if is_stream(source)]:
        raise ValueError(f"{streams[0]} can be read once, and each of several processes reads the input; use a file")


def share(
    work: Work,
    encoder: EncoderLike,
    helpers: Sequence[Callable[[], EncoderLike]],
    folder: PartialFolder,
    meter: Meter,
) -> None:
    """Compute all parts that are not in the folder yet: this process its share, and one process for each helper.

    helpers: functions that can be pickled, and give the same encoder on another device. Raises JobError when one of
    the processes fails; what was finished stays.
    """
    count = 1 + len(helpers)
    seen = folder.numbers()

    def count_others() -> None:
        for number in sorted(folder.numbers() - seen):
            seen.add(number)
            rows, counts = folder.counts(number)
            meter.add(counts, rows=rows)

    with _helped(work, encoder, helpers) as all_done:
        for number, rows, counts in _compute(work, encoder, folder, rank=0, count=count):
            seen.add(number)
            meter.add(counts, rows=rows)
        while not all_done():
            count_others()
    count_others()


def _compute(
    work: Work, encoder: EncoderLike, folder: PartialFolder, *, rank: int, count: int
) -> Iterator[tuple[int, int, dict[str, int]]]:
    """The parts of this process that are not there yet, as (number, rows, counts) when they are done."""
    there = folder.numbers()
    rows = read_rows(work.inputs, column=work.column, file_format=work.file_format)
    for number, part in enumerate(parts_of(rows, tokens=work.options.tokens)):
        if number % count == rank and number not in there:
            computed = encode_part(encoder, part, work.options, size=work.size)
            folder.add(number, computed)
            yield number, len(part), computed.counts()


def help_with(index: int, work: Work, helpers: Sequence[Callable[[], EncoderLike]], weights_sha256: str) -> None:
    """The life of a helper's process."""
    encoder = helpers[index]()
    if encoder.weights_sha256 != weights_sha256:
        raise JobError("the model changed while the job began; start it again")
    folder = PartialFolder(Path(work.output))  # the first process holds its lock, for all
    for _ in _compute(work, encoder, folder, rank=1 + index, count=1 + len(helpers)):
        pass


@contextmanager
def _helped(
    work: Work, encoder: EncoderLike, helpers: Sequence[Callable[[], EncoderLike]]
) -> Iterator[Callable[[], bool]]:
    """While inside, the helpers work. Gives a function that waits a moment and says whether all are done."""
    if not helpers:
        yield lambda: True
        return
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

    started = spawn(help_with, (work, helpers, str(encoder.weights_sha256)), nprocs=len(helpers), join=False)
    try:
        yield lambda: started.join(timeout=_SECONDS_BETWEEN)
    except (ProcessRaisedException, ProcessExitedException) as error:
        reason = str(error).strip().splitlines()[-1]
        raise JobError(
            f"process {error.error_index + 2} of {1 + len(helpers)} failed: {reason}. What was finished stays beside "
            f"{work.output}; run the same command again."
        ) from error
    finally:
        for process in started.processes:
            if process.is_alive():
                process.terminate()
            process.join()
