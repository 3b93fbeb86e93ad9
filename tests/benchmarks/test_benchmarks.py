"""The benchmarks measure what they say, and the docs show what was measured."""

import json
from pathlib import Path

import numpy as np
from benchmarks.texts import docstrings, skewed_texts

from benchmarks import cranfield, report

ROOT = Path(__file__).parents[2]


def test_texts_are_distinct_skewed_and_the_same_in_every_run():
    texts = skewed_texts(2000)
    lengths = sorted(len(text) for text in texts)

    assert len(set(texts)) == 2000
    assert texts == skewed_texts(2000)
    assert set(texts) <= set(docstrings())
    assert lengths[1900] > 4 * lengths[1000]


def test_ndcg_by_hand():
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    relevant = [{0, 2}, {0}, set()]  # the last query has no relevant document and does not count

    first = (1 / np.log2(2) + 1 / np.log2(4)) / (1 / np.log2(2) + 1 / np.log2(3))
    second = 1 / np.log2(5)

    padded = np.pad(scores, ((0, 0), (0, 8)), constant_values=-1.0)
    np.testing.assert_allclose(cranfield._mean_ndcg(padded, relevant), (first + second) / 2)


def test_the_page_and_the_readmes_show_the_last_results(tmp_path: Path):
    results = ROOT / "benchmarks" / "results" / "cpu.jsonl"
    last = report.last_results(results)

    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == report.page(last)
    for name in ("README.md", "README.zh-CN.md"):
        assert report.summary(last) in (ROOT / name).read_text(encoding="utf-8")
    assert all(json.loads(line)["machine"] for line in results.read_text().splitlines())
