"""Case 47: a job that is killed, and the disk that is full. Real processes, real signals."""

import os
import pty
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitrail.jobs.embed_job import embed_job
from vitrail.jobs.encoding import EmbedOptions

SCRIPT = Path(__file__).with_name("run_job.py")
ROWS = 95


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("".join(f"text number {n} {'POISON' if n in (17, 60) else ''}\n" for n in range(ROWS)))
    return path


def run(kind, output, texts, *, kill=None):
    environment = {**os.environ, **({"VITRAIL_TEST_KILL": kill} if kill else {})}
    command = [sys.executable, SCRIPT, kind, output, texts]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def finish(fake_encoder, parts_of_ten):
    """Run the same job again, in this process."""
    return lambda output, texts: embed_job(fake_encoder(), [str(texts)], str(output), options=EmbedOptions())


@pytest.fixture
def whole(tmp_path, texts, finish):
    """The bytes of an output that nothing interrupted."""

    def make(ending):
        output = tmp_path / f"whole{ending}"
        finish(output, texts)
        return output.read_bytes()

    return make


@pytest.mark.parametrize(
    ("point", "ending"), [("after-part:2", ".parquet"), ("in-part:4", ".npy"), ("after-merge", ".jsonl")]
)
def test_a_killed_job_run_again_gives_the_same_file_as_one_that_was_not(tmp_path, texts, finish, whole, point, ending):
    output = tmp_path / f"out{ending}"

    assert run("fast", output, texts, kill=point).returncode == -signal.SIGKILL
    assert not output.exists()
    report = finish(output, texts)

    assert output.read_bytes() == whole(ending)
    assert (report.rows, report.errors) == (ROWS, 2)
    assert report.resumed_rows == {"after-part:2": 20, "in-part:4": 30, "after-merge": ROWS}[point]
    assert not list(tmp_path.glob("*.partial"))


def test_a_job_killed_after_its_output_took_its_place_is_finished_by_the_next_run(tmp_path, texts, finish, whole):
    output = tmp_path / "out.parquet"

    assert run("fast", output, texts, kill="after-rename").returncode == -signal.SIGKILL
    assert output.read_bytes() == whole(".parquet")
    assert finish(output, texts).rows == ROWS

    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(FileExistsError):
        finish(output, texts)


def test_a_full_disk_keeps_the_finished_parts_and_says_so(tmp_path, finish):
    output = tmp_path / "out.npy"
    growing = tmp_path / "growing.txt"
    growing.write_text("".join(f"{n} {'x' * (n * 20)}\n" for n in range(ROWS)))  # until a part does not fit

    full = run("small-disk", output, growing)

    assert "JobError: no space left" in full.stderr
    assert "finished parts stay in" in full.stderr
    assert not output.exists()
    kept = list(Path(f"{output}.partial").glob("part-*.parquet"))
    assert 0 < len(kept) < 10
    assert finish(output, growing).resumed_rows == 10 * len(kept)


@pytest.mark.slow
def test_jobs_killed_at_seventeen_random_moments_lose_and_double_nothing(tmp_path, texts, finish, whole):
    expected = whole(".parquet")
    chance = random.Random(2)
    output = tmp_path / "out.parquet"
    command = [sys.executable, SCRIPT, "slow", output, texts]
    kills = 0
    while kills < 17:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as job:
            job.stdout.readline()  # all is imported; the job begins
            time.sleep(chance.uniform(0, 0.3))
            job.kill()
        kills += job.returncode == -signal.SIGKILL
        if output.exists() and not Path(f"{output}.partial").exists():
            assert output.read_bytes() == expected
            output.unlink()
    assert finish(output, texts).rows == ROWS
    assert output.read_bytes() == expected


def test_of_two_processes_on_one_output_one_is_refused_and_the_other_finishes(tmp_path, texts, whole):
    output = tmp_path / "out.parquet"
    command = [sys.executable, SCRIPT, "slow", output, texts]
    jobs = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [job.communicate()[1] for job in jobs]

    assert sorted(job.returncode for job in jobs) == [0, 1]
    refusal = next(error for error, job in zip(errors, jobs, strict=True) if job.returncode)
    assert "another process is writing" in refusal or "exists already" in refusal
    assert output.read_bytes() == whole(".parquet")


def test_a_person_at_a_terminal_sees_rows_and_tokens_per_second(tmp_path, texts):
    controller, terminal = pty.openpty()
    command = [sys.executable, SCRIPT, "slow", tmp_path / "out.parquet", texts]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as job:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(controller, 4096):
                shown += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(controller)
    assert job.returncode == 0
    assert b"/95" in shown
    assert b"tokens/s" in shown


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    def peak(rows):
        path = tmp_path / f"{rows}.txt"
        path.write_text("".join(f"text {n}\n" for n in range(rows)))
        return int(run("memory", tmp_path / f"{rows}.npy", path).stdout.split()[-1])

    assert peak(300_000) - peak(15_000) < 40 * 1024  # KiB; the rows themselves would take three times that
