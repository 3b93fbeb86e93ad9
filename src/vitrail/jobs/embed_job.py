"""Embed files of any size, and survive being killed.

Rows are cut into parts by the input alone; each part is computed in one call and kept in `OUT.partial/` as it is
done. The same command run again skips the parts that are there, computes the others, merges them all and renames the
result to OUT. So OUT appears whole or not at all, and is the same whether or not the job was interrupted.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOBase
from pathlib import Path
from typing import Any

from vitrail.errors import JobError
from vitrail.files.columns import unify
from vitrail.files.embedding_table import embedding_schema
from vitrail.files.embeddings import sidecar_of
from vitrail.files.output import output_format, write_json_lines, write_npy, write_parquet, write_sidecar
from vitrail.files.reading import count_rows, format_of, read_rows
from vitrail.jobs.encoding import EmbedOptions, EncoderLike, encode_part, parts_of, prompt_text, vector_size
from vitrail.jobs.fingerprint import describe_pooling, file_state, fingerprint, is_stream
from vitrail.jobs.partial_folder import PartialFolder
from vitrail.jobs.progress import EmbedReport, progress
from vitrail.jobs.shares import Work, check_shared, share

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_paths(inputs: Sequence[str], output: str, *, file_format: str | None, tokens: bool, overwrite: bool) -> None:
    """Raise for an input that is not there or an output that cannot be: cheap, to be asked before a model loads."""
    if inputs.count("-") > 1:
        raise ValueError("standard input can be read once; name `-` once")
    for source in inputs:
        format_of(source, file_format)
        if source != "-" and Path(source).is_dir():
            raise IsADirectoryError(f"{source} is a folder; name the files in it")
        if source != "-":
            Path(source).stat()
    if output_format(output) == "npy" and tokens:
        raise ValueError("a vector per token does not fit a .npy array; write .parquet or .jsonl")
    if output == "-":
        return
    if any(source != "-" and Path(output).exists() and Path(output).samefile(source) for source in inputs):
        raise ValueError(f"{output} is an input too; choose another output")
    if not Path(output).absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder of {output} does not exist; create it first")
    folder = PartialFolder(Path(output))
    places = [place for _, place in places_of(folder)]
    if folder.begun():  # a job that goes on may already have moved the sidecar to its place, or all
        places = [] if folder.report_of_finished() else places[-1:]
    if not overwrite and (there := [place for place in places if place.exists()]):
        raise FileExistsError(f"{there[0]} exists already; choose another name, or replace it with --overwrite")


def embed_job(
    encoder: EncoderLike,
    inputs: Sequence[str],
    output: str,
    *,
    options: EmbedOptions,
    column: str | None = None,
    file_format: str | None = None,
    overwrite: bool = False,
    helpers: Sequence[Callable[[], EncoderLike]] = (),
) -> EmbedReport:
    """Embed every row of `inputs` into the file `output` (.parquet, .jsonl, .npy), going on where a killed run stopped.

    helpers: one more process each, with the same encoder on another device (shares.py).

    `-` among the inputs is standard input, which cannot be resumed. Raises `FingerprintMismatch` when `OUT.partial/`
    was begun with another model, input or option, `JobError` when the disk is full or another process writes `output`.
    """
    check_paths(inputs, output, file_format=file_format, tokens=options.tokens, overwrite=overwrite)
    if helpers:
        check_shared(inputs)
    size = vector_size(encoder, options)
    states = {source: file_state(source) for source in inputs if not is_stream(source)}
    with PartialFolder(Path(output)) as folder:
        if (report := folder.report_of_finished()) is not None:
            folder.remove()
            return EmbedReport(**report)
        now = fingerprint(
            encoder, options, inputs=inputs, column=column, file_format=file_format, version=version("vitrail")
        )
        with space_on_disk(folder), progress(total_of(inputs, file_format)) as meter:
            folder.begin_or_resume(now)
            for number in sorted(folder.numbers()):
                rows_done, counts = folder.counts(number)
                meter.add(counts, rows=rows_done, resumed=True)
            work = Work(
                inputs=inputs, output=output, column=column, file_format=file_format, options=options, size=size
            )
            share(work, encoder, helpers, folder, meter)
            if any(file_state(source) != state for source, state in states.items()):
                raise JobError(f"an input changed while it was read. Delete {folder.path} and start over.")
            description = describe(encoder, options, size=size, column=column)
            empty = embedding_schema(size, tokens=options.tokens)
            folder.finish(merge(folder, description, empty, meter.report.rows), vars(meter.report))
        return meter.report


def embed_to_stream(
    encoder: EncoderLike,
    inputs: Sequence[str],
    stream: TextIOBase,
    *,
    options: EmbedOptions,
    column: str | None = None,
    file_format: str | None = None,
) -> EmbedReport:
    """Write every row as JSON lines as it is done; nothing is kept to resume from."""
    size = vector_size(encoder, options)
    with progress(total_of(inputs, file_format)) as meter:
        rows = read_rows(inputs, column=column, file_format=file_format)
        for chunk in parts_of(rows, tokens=options.tokens):
            part = encode_part(encoder, chunk, options, size=size)
            write_json_lines(stream, [part.table])
            stream.flush()
            meter.add(part.counts(), rows=len(chunk))
    return meter.report


def total_of(inputs: Sequence[str], file_format: str | None) -> Callable[[], int | None]:
    return lambda: None if any(is_stream(source) for source in inputs) else count_rows(inputs, file_format)


def places_of(folder: PartialFolder) -> list[tuple[Path, Path]]:
    """(where it is written, where it belongs) of each file of an output; the output itself last."""
    output = folder.output
    places = [(folder.path / "merged", output)]
    if output_format(str(output)) != "parquet":
        places.insert(0, (folder.path / "merged.json", sidecar_of(output)))
    return places


def merge(folder: PartialFolder, description: Mapping[str, object], empty: Any, rows: int) -> list[tuple[Path, Path]]:
    """Write all parts into one output inside the folder, a part in memory at a time."""
    import pyarrow.parquet as pq

    parts = folder.parts()
    schema = unify([pq.read_schema(part) for part in parts] or [empty])
    tables = (pq.read_table(part) for part in parts)
    places = places_of(folder)
    target, sidecar = places[-1][0], places[0][0]
    match output_format(str(folder.output)):
        case "parquet":
            write_parquet(target, tables, schema, description=description)
        case "npy":
            write_npy(target, sidecar, tables, schema, rows=rows, description=description)
        case "jsonl":
            write_sidecar(sidecar, description)
            with target.open("w", encoding="utf-8") as stream:
                write_json_lines(stream, tables, schema)
    return places


def describe(encoder: EncoderLike, options: EmbedOptions, *, size: int, column: str | None) -> dict[str, object]:
    """The metadata `vitrail` of an output: what is needed to embed a query the same way."""
    pooling = None if options.tokens else describe_pooling(encoder)
    name = str(encoder.name)
    return {
        "version": version("vitrail"),
        "weights_sha256": encoder.weights_sha256,
        "name": str(Path(name).absolute()) if Path(name).is_dir() else name,
        "revision": encoder.revision,
        "prompt": prompt_text(encoder, options),
        "pooling": pooling and pooling["modes"],
        "normalized": bool(pooling and pooling["normalize"]) if options.normalize is None else options.normalize,
        "dimensions": size,
        "precision": str(encoder.precision),
        "column": column,
    }


@contextmanager
def space_on_disk(folder: PartialFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise JobError(
            f"no space left to write {folder.output} ({error.strerror or error}). The {len(folder.parts())} finished "
            f"parts stay in {folder.path}; make room and run the same command again."
        ) from error
