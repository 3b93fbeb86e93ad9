"""The benchmarks measure what they say, and the docs show what was measured."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.contestants import ALL, BASE, BY_NAME
from benchmarks.contestants.__main__ import WARM_UP_CALLS, WARM_UP_TEXTS, embed, latency
from benchmarks.contestants.sorted_batches import sorted_batches
from benchmarks.processes import ContestantFailed, Runner
from benchmarks.texts import docstrings, long_texts, short_texts, skewed_texts
from benchmarks.workloads import Workload

from benchmarks import environments, machine, peaks, picture, quality, report, rounds

ROOT = Path(__file__).parents[2]


def test_texts_are_distinct_skewed_and_the_same_in_every_run():
    texts = skewed_texts(2000)
    lengths = sorted(len(text) for text in texts)

    assert len(set(texts)) == 2000
    assert texts == skewed_texts(2000)
    assert set(texts) <= set(docstrings())
    assert lengths[1900] > 4 * lengths[1000]


def test_short_and_long_texts_are_distinct_and_as_long_as_asked():
    short, long = short_texts(500, ["one", "two", "three"]), long_texts(20, characters=4000)

    assert len(set(short)) == 500
    assert {len(text.split()) for text in short} == {10}
    assert len(set(long)) == 20
    assert min(map(len, long)) >= 4000


def test_ndcg_by_hand():
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    relevant = [{0, 2}, {0}, set()]  # the last query has no relevant document and does not count

    first = (1 / np.log2(2) + 1 / np.log2(4)) / (1 / np.log2(2) + 1 / np.log2(3))
    second = 1 / np.log2(5)

    padded = np.pad(scores, ((0, 0), (0, 8)), constant_values=-1.0)
    np.testing.assert_allclose(quality.mean_ndcg(padded, relevant), (first + second) / 2)


def test_spearman_by_hand():
    # ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: covariance 4.5 over √(4.5 · 5)
    a, b = np.array([0.1, 0.5, 0.5, 0.9]), np.array([1.0, 3.0, 2.0, 7.0])

    np.testing.assert_allclose(quality.spearman(a, b), 4.5 / np.sqrt(4.5 * 5))
    np.testing.assert_allclose(quality.spearman(a, -a), -1.0)


def test_absent_data_is_an_error_that_names_its_source(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"STS benchmark.*--data"):
        quality.stsb(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Cranfield.*--data"):
        quality.cranfield(tmp_path)


@pytest.mark.parametrize("streams", [1, 0, 3])
def test_the_sorted_loop_pools_only_kept_tokens_and_restores_the_order(minilm_folder: Path, streams: int):
    from tokenizers import Tokenizer

    table = np.random.default_rng(0).standard_normal((30522, 5)).astype(np.float32)
    seen = []

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        seen.append(mask.sum(1))
        return table[ids]

    texts = ["one", "a text of some more words", "two words", "the longest of these few texts is cut to nine tokens"]
    vectors = sorted_batches(minilm_folder, run, batch_size=2, streams=streams, max_length=9)(texts)

    tokenizer = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(9)
    means = np.stack([table[tokenizer.encode(text).ids].mean(0) for text in texts])
    np.testing.assert_allclose(vectors, means / np.linalg.norm(means, axis=1, keepdims=True), rtol=1e-5)
    assert sorted(length for lengths in seen for length in lengths)[-1] == 9


class CountingModule:
    """Stands for a contestant's file; counts the calls and their texts."""

    def __init__(self):
        self.calls: list[int] = []

    def load(self, model: Path, prepared: Path, settings: dict, max_length: int):
        def embed(texts: list[str]) -> np.ndarray:
            self.calls.append(len(texts))
            return np.ones((len(texts), 2), np.float32)

        return embed


def test_a_contestant_is_warm_before_the_clock_runs_and_embeds_everything_once(tmp_path: Path):
    texts, module = tmp_path / "texts.json", CountingModule()
    texts.write_text(json.dumps([str(number) for number in range(100)]))
    job = {"texts": str(texts), "out": str(tmp_path / "out.npy"), "settings": {}, "model": "", "prepared": ""}
    job["max_length"] = 8

    result = embed(job, module)
    assert module.calls == [WARM_UP_TEXTS, 100]
    assert result["seconds"] > 0
    assert result["peak_bytes"] > 2**20
    assert result["used_by_others"] >= 0
    assert np.load(tmp_path / "out.npy").shape == (100, 2)

    module.calls.clear()
    result = latency(job, module)
    assert module.calls == [1] * 100
    assert WARM_UP_CALLS < 100
    assert 0 < result["p50_seconds"] <= result["p99_seconds"]


class Answers(Runner):
    """Gives each contestant its seconds, round by round; a contestant without any fails."""

    seconds: dict

    def run(self, action, contestant, model, texts, *, max_length, out=None, chosen=None):
        if not self.seconds.get(contestant.name):
            raise ContestantFailed(f"{contestant.name} failed at {action}:\nbecause it does")
        np.save(out, np.eye(2, dtype=np.float32))
        return {"seconds": self.seconds[contestant.name].pop(0), "peak_bytes": 5, "used_by_others": 0.0, "version": "1"}


def test_ratios_are_taken_inside_the_rounds_and_a_failure_is_kept_as_one(tmp_path: Path):
    runner = Answers(work=tmp_path, calibration=tmp_path, lock=None)
    object.__setattr__(runner, "seconds", {BASE: [8.0, 20.0, 9.0], "vitrail": [4.0, 5.0, 3.0]})
    work = Workload(model="minilm", kind="short", folder=tmp_path, texts=tmp_path, lengths=[12, 13], operations=100)
    contestants = [BY_NAME["vitrail"], BY_NAME[BASE], BY_NAME["ctranslate2 int8"]]

    ours, base, failed = rounds.throughput(runner, work, contestants, {}, rounds=3)

    assert ours["times_sentence_transformers"] == 3.0  # of 2, 4 and 3
    assert ours["tokens_per_second"] == 25 / 4.0
    assert ours["operations_per_second"] == 25.0
    assert ours["cosine_min"] == 1.0
    assert base["times_sentence_transformers"] == 1.0
    assert failed == {"contestant": "ctranslate2 int8", "failed": "because it does"}


def test_a_contestant_that_hangs_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(environments, "python", lambda name: str(sleeper))
    runner = Runner(work=tmp_path, calibration=tmp_path, lock=None, limit_seconds=0.2)

    with pytest.raises(ContestantFailed, match="vitrail at embed: no answer in 0 s"):
        runner._start("embed", BY_NAME["vitrail"], {})


def test_tuning_keeps_every_try_and_chooses_the_fastest(tmp_path: Path):
    runner = Answers(work=tmp_path, calibration=tmp_path, lock=None)
    object.__setattr__(runner, "seconds", {"transformers": [3.0, 1.0, 2.0]})
    work = Workload(model="minilm", kind="short", folder=tmp_path, texts=tmp_path, lengths=[12], operations=1)

    (result,) = rounds.tuning(runner, work, [BY_NAME["transformers"]])

    assert [one["seconds"] for one in result["tried"]] == [3.0, 1.0, 2.0]
    assert result["best"] == BY_NAME["transformers"].tried[1]


def test_ours_is_compared_with_the_fastest_rival_of_its_precision():
    def result(name: str, rate: float, *seconds: float) -> dict:
        precision = BY_NAME[name].precision
        return {"contestant": name, "tokens_per_second": rate, "seconds": list(seconds), "precision": precision} | {
            "version": "1"
        }

    lines = report.comparisons(
        [
            result("vitrail", 10.0, 1.0, 1.0, 1.0),
            result("transformers", 5.0, 2.0, 4.0, 1.5),
            result("onnxruntime float32", 4.0, 9.0, 9.0, 9.0),
            result("onnxruntime int8", 50.0, 0.1, 0.1, 0.1),
        ]
    )

    assert len(lines) == 1
    assert lines[0].startswith("vitrail is 2.00 × its best float32 rival (transformers")


def test_vectors_that_are_not_numbers_are_no_rival_and_are_said():
    def result(name: str, rate: float, cosine: float) -> dict:
        shared = {"run": "", "machine": {"processor": "", "cores": 1, "python": "", "vitrail": "", "torch": ""}}
        described = {"model": "modernbert-base", "kind": "skewed", "texts": 1, "tokens": 1, "p95_tokens": 1}
        speed = {"tokens_per_second": rate, "texts_per_second": rate, "seconds": [1 / rate], "peak_bytes": 1}
        who = {"contestant": name, "version": "1", "precision": BY_NAME[name].precision}
        return {**shared, **described, **speed, **who, "cosine_mean": cosine, "cosine_min": cosine}

    broken = result("openvino float32", 20.0, math.nan)
    results = [result("vitrail", 10.0, 1.0), broken, result("transformers", 5.0, 1.0)]
    page = report.page({"a processor": {("throughput", "modernbert-base", "skewed"): results}})

    assert "vitrail is 2.00 × its best float32 rival (transformers" in page
    assert "openvino float32, ModernBERT-base's shape skewed: its vectors are not numbers" in page
    assert "| openvino" not in page


def test_every_contestant_has_a_file_and_an_environment_with_every_version_pinned():
    pinned = {name: (environments.PINS / f"{name}.txt").read_text() for name in environments.names()}

    assert len(BY_NAME) == len(ALL)
    assert {one.environment for one in ALL} - {""} == set(pinned)
    for one in ALL:
        assert (ROOT / "benchmarks" / "contestants" / f"{one.module}.py").is_file()
        assert not one.environment or f"\n{one.package}==" in pinned[one.environment]
    for pins in pinned.values():
        lines = [line for line in pins.splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
        assert "torch==2.13.0" in lines


@pytest.mark.skipif(not shutil.which("cc") or "avx2" not in machine.flags(), reason="needs a C compiler and AVX2")
def test_the_register_peaks_are_those_of_a_processor():
    found = peaks.registers()

    assert 1e9 < found["float32"] < 1e14
    assert found.get("int8", 1e99) > 2 * found["float32"]


def test_what_was_measured_on_one_processor_is_never_shown_with_another(tmp_path: Path):
    def line(processor: str, run: str, measurement: str, contestant: str) -> str:
        described = {"run": run, "machine": {"processor": processor}, "measurement": measurement}
        return json.dumps(described | {"contestant": contestant, "model": "minilm", "kind": "skewed"})

    results = tmp_path / "cpu.jsonl"
    lines = [("one", "1", "throughput", "a"), ("one", "1", "latency", "b"), ("two", "2", "throughput", "c")]
    lines += [("one", "3", "throughput", "d"), ("one", "3", "throughput", "e")]
    results.write_text("\n".join(line(*each) for each in lines))

    found = report.last_results(results)

    assert list(found) == ["one", "two"]  # of equals the one measured last comes first
    names = {
        (processor, measurement): [one["contestant"] for one in kept]
        for processor, last in found.items()
        for (measurement, *_), kept in last.items()
    }
    assert names == {("one", "throughput"): ["d", "e"], ("one", "latency"): ["b"], ("two", "throughput"): ["c"]}


def test_the_processor_with_the_most_instructions_comes_first_whenever_it_was_measured(tmp_path: Path):
    results = tmp_path / "cpu.jsonl"
    processors = ("a (avx2, avx512f, avx512_vnni)", "b (avx2)", "c (avx2, avx512f)")
    results.write_text(
        "\n".join(
            json.dumps({"run": "1", "machine": {"processor": each}, "measurement": "peaks"}) for each in processors
        )
    )

    assert list(report.last_results(results)) == [processors[0], processors[2], processors[1]]


def test_the_page_and_the_readmes_show_the_last_results():
    results = ROOT / "benchmarks" / "results" / "cpu.jsonl"
    by_processor = report.last_results(results)
    last = report.most_capable(by_processor)

    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == report.page(by_processor)
    assert (ROOT / "docs" / "benchmarks.svg").read_text(encoding="utf-8") == picture.bars(report.shown(last))
    for name in ("README.md", "README.zh-CN.md"):
        assert report.summary(last) in (ROOT / name).read_text(encoding="utf-8")
    assert all(json.loads(line)["machine"] for line in results.read_text().splitlines())


class Streams(Runner):
    """Takes a second more every time it is asked."""

    asked: list

    def run(self, action, contestant, model, texts, *, max_length, out=None, chosen=None):
        assert action == "stream"
        self.asked.append(texts.name)
        return {"seconds": len(self.asked), "texts": 60, "peak_bytes": 7 + len(self.asked), "version": "1"}


def test_the_short_stream_is_run_on_both_sides_of_the_long_one(tmp_path: Path):
    runner = Streams(work=tmp_path, calibration=tmp_path, lock=None)
    object.__setattr__(runner, "asked", [])
    files = [(60, tmp_path / "short"), (600, tmp_path / "long")]

    (result,) = rounds.scale(runner, tmp_path, files, [BY_NAME["vitrail"]], max_length=8)

    assert runner.asked == ["short", "long", "short"]
    assert [stream["texts_per_second"] for stream in result["streams"]] == [40.0, 30.0]  # of 60 / 1 and 60 / 3; 60 / 2
    assert [stream["peak_bytes"] for stream in result["streams"]] == [10, 9]
