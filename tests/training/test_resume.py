"""Case 53: a run that was killed and goes on ends with the weights of one that was not, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from training.run_toy import toy_run
from training.toy import classified, encoder_with, loop_over, out_of_memory_above, weights
from vitrail.errors import DamagedFile, FallbackWarning
from vitrail.training.loop import Loop
from vitrail.training.records import Record
from vitrail.training.snapshots import latest_snapshot

SCRIPT = Path(__file__).with_name("run_toy.py")
STEPS, FLUSHES_A_SNAPSHOT = 18, 6


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    encoder, _ = toy_run(tmp_path_factory.mktemp("whole"))
    return weights(encoder)


def run_killed(folder: Path, moment: str, count: int) -> None:
    command = [sys.executable, SCRIPT, folder, folder / "unused", moment, str(count)]
    killed = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(each, wanted[name]) for name, each in found.items())


_CHANCE = random.Random(7)  # at random, and the same moments in every process that runs these tests
MOMENTS = (
    ("step", _CHANCE.randint(2, STEPS)),
    *(("fsync", _CHANCE.randint(FLUSHES_A_SNAPSHOT + 1, STEPS * FLUSHES_A_SNAPSHOT)) for _ in range(2)),
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> dict[tuple[str, int], Path]:
    """Runs killed at these moments, by the moment; all at once, as most of their time goes into imports."""
    folders = {moment: tmp_path_factory.mktemp("killed") for moment in MOMENTS}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda moment: run_killed(folders[moment], *moment), MOMENTS))
    return folders


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_to_the_same_weights(killed, uninterrupted, moment):
    assert latest_snapshot(killed[moment]).step < STEPS

    encoder, _ = toy_run(killed[moment])

    assert same(weights(encoder), uninterrupted)
    assert [path.name for path in killed[moment].glob("step-*")] == [f"step-{STEPS:08d}"]


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_one_after_the_other_ends_with_the_same_weights(tmp_path, uninterrupted):
    chance = random.Random(4)
    for _ in range(20):
        place = tmp_path / "run"
        moment = chance.choice(["step", "fsync"])
        run_killed(place, moment, chance.randint(1, STEPS if moment == "step" else STEPS * FLUSHES_A_SNAPSHOT))
        encoder, _ = toy_run(place)
        assert same(weights(encoder), uninterrupted)
        subprocess.run(["rm", "-r", place], check=True)


def test_a_run_that_is_finished_and_resumed_takes_no_further_step(tmp_path, uninterrupted):
    toy_run(tmp_path)
    encoder, _ = toy_run(tmp_path)

    assert same(weights(encoder), uninterrupted)


def test_early_stopping_remembers_across_a_resume(tmp_path):
    def loop(patience: int):
        return loop_over(
            encoder_with("text-classification"),
            classified(16),
            validation=classified(8),
            epochs=9,
            learning_rate=1e-30,
            patience=patience,
            snapshots=tmp_path,
        )

    assert loop(2).run().step == 6
    again = loop(3)
    assert again.resume()

    assert again.run().step == 8


class _Killed(Exception): ...


class _Killer:
    """Ends the run at a step, as a signal would."""

    def __init__(self, step: int):
        self.at = step

    def hear(self, record: Record) -> None:
        if record["event"] == "step" and record["step"] == self.at:
            raise _Killed

    def close(self) -> None: ...


def test_what_a_step_out_of_memory_was_cut_to_is_remembered_across_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    examples = classified(24)
    most = max(example.tokens for example in examples) + 3

    def loop(**options: object) -> Loop:
        encoder = encoder_with("text-classification", dropout=0.3)
        out_of_memory_above(monkeypatch, encoder, most)
        return loop_over(encoder, examples, checkpoint_steps=2, **options)

    whole, killed, again = loop(), loop(snapshots=tmp_path, listeners=[_Killer(3)]), loop(snapshots=tmp_path)
    with pytest.warns(FallbackWarning, match="out of memory"):
        whole.run()
    with pytest.warns(FallbackWarning, match="out of memory"), pytest.raises(_Killed):
        killed.run()
    assert again.resume()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)  # nothing is tried again that did not fit
        again.run()

    assert again.counters.batch_tokens == whole.counters.batch_tokens
    assert same(weights(again.encoder), weights(whole.encoder))


def test_muons_momentum_is_remembered_across_a_resume(tmp_path: Path):
    def loop(**options: object) -> Loop:
        encoder = encoder_with("text-classification", dropout=0.3)
        return loop_over(encoder, classified(24), name="muon", checkpoint_steps=2, **options)

    whole, killed, again = loop(), loop(snapshots=tmp_path, listeners=[_Killer(3)]), loop(snapshots=tmp_path)
    whole.run()
    with pytest.raises(_Killed):
        killed.run()
    assert again.resume()
    again.run()

    assert same(weights(again.encoder), weights(whole.encoder))


def test_a_damaged_snapshot_is_refused_by_name(tmp_path):
    toy_run(tmp_path)
    (tmp_path / f"step-{STEPS:08d}" / "optimizer.safetensors").write_bytes(b"cut")

    with pytest.raises(DamagedFile, match=rf"step-{STEPS:08d} cannot be read"):
        latest_snapshot(tmp_path)
