"""Are the vectors as good? Retrieval on Cranfield and similarity on STS-B, for the same weights in every precision.

Cranfield: 1,400 abstracts, 225 queries; relevance codes 1–4 count as relevant, −1 does not; queries are numbered by
their order in the file. STS-B: 1,379 pairs of its test part, each with people's score from 0 to 5.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.contestants import Contestant
from benchmarks.processes import ContestantFailed, Runner
from benchmarks.rounds import Result, vectors_of
from benchmarks.texts import entries


def measure(
    runner: Runner, contestants: Sequence[Contestant], model: Path, data: Path, *, max_length: int
) -> list[Result]:
    """nDCG@10 and Spearman's correlation (in points of 100) of each contestant's vectors."""
    documents, queries, relevant = cranfield(data / "cranfield")
    first, second, scores = stsb(data / "stsb")
    texts = [*documents, *queries, *first, *second]
    ends = np.cumsum([len(documents), len(queries), len(first)])
    results: list[Result] = []
    for contestant in contestants:
        try:
            done = vectors_of(runner, contestant, model, texts, max_length)
        except ContestantFailed as error:
            results.append({"contestant": contestant.name, "failed": str(error).splitlines()[-1]})
            continue
        of_documents, of_queries, of_first, of_second = np.split(done["vectors"], ends)
        results.append(
            {
                "contestant": contestant.name,
                "version": done["version"],
                "precision": contestant.precision,
                "cranfield_ndcg_at_10": mean_ndcg(of_queries @ of_documents.T, relevant),
                "stsb_spearman": 100 * spearman((of_first * of_second).sum(1), scores),
            }
        )
    return results


def cranfield(folder: Path) -> tuple[list[str], list[str], list[set[int]]]:
    """Documents (their abstracts), queries, and for each query the indices of its relevant documents."""
    documents, queries = entries(folder / "cran.all.1400"), entries(folder / "cran.qry")
    relevant: list[set[int]] = [set() for _ in queries]
    for line in (folder / "cranqrel").read_text().splitlines():
        query, document, code = map(int, line.split())
        if 1 <= code <= 4:
            relevant[query - 1].add(document - 1)
    return documents, queries, relevant


def stsb(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """First and second sentence of each pair of the test part, and the scores. The file has tabs and no quoting."""
    file = folder / "sts-test.csv"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there. It is part of the STS benchmark (Stsbenchmark.tar.gz, of the SemEval STS wiki); "
            "name the folder that holds `stsb` with --data or $VITRAIL_DATA"
        )
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    return [row[5] for row in rows], [row[6] for row in rows], np.array([float(row[4]) for row in rows])


def mean_ndcg(scores: np.ndarray, relevant: list[set[int]]) -> float:
    """nDCG@10 with gains of 0 and 1, mean over the queries that have a relevant document."""
    discounts = 1 / np.log2(np.arange(2, 12))
    found = []
    for row, wanted in zip(scores, relevant, strict=True):
        if not wanted:
            continue
        best = np.argsort(-row, kind="stable")[:10]
        gain = sum(discount for discount, document in zip(discounts, best.tolist(), strict=True) if document in wanted)
        found.append(gain / discounts[: len(wanted)].sum())
    return float(np.mean(found))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the ranks; equal values share the mean of theirs."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return (last - (times - 1) / 2)[place]
