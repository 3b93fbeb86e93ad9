"""Retrieval on Cranfield: do vitrail's vectors find what the same weights find elsewhere?

1,400 abstracts, 225 queries. Relevance codes 1–4 count as relevant, −1 does not; queries are numbered by their order in
the file.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rounds import run
from benchmarks.texts import entries


def ndcg(data: Path, model: str) -> list[dict[str, object]]:
    """nDCG@10 of vitrail and sentence-transformers, mean over the queries."""
    documents, queries, relevant = read(data / "cranfield")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        texts_file, out = Path(folder) / "texts.json", Path(folder) / "vectors.npy"
        texts_file.write_text(json.dumps(documents + queries), encoding="utf-8")
        for name in ("vitrail", "sentence-transformers"):
            run(name, model, str(texts_file), str(out))
            vectors = np.load(out)
            scores = vectors[len(documents) :] @ vectors[: len(documents)].T
            results.append({"contestant": name, "ndcg_at_10": _mean_ndcg(scores, relevant)})
    return results


def read(folder: Path) -> tuple[list[str], list[str], list[set[int]]]:
    """Documents (their abstracts), queries, and for each query the indices of its relevant documents."""
    documents, queries = entries(folder / "cran.all.1400"), entries(folder / "cran.qry")
    relevant: list[set[int]] = [set() for _ in queries]
    for line in (folder / "cranqrel").read_text().splitlines():
        query, document, code = map(int, line.split())
        if 1 <= code <= 4:
            relevant[query - 1].add(document - 1)
    return documents, queries, relevant


def _mean_ndcg(scores: np.ndarray, relevant: list[set[int]]) -> float:
    discounts = 1 / np.log2(np.arange(2, 12))
    found = []
    for row, wanted in zip(scores, relevant, strict=True):
        if not wanted:
            continue
        best = np.argsort(-row, kind="stable")[:10]
        gain = sum(discount for discount, document in zip(discounts, best.tolist(), strict=True) if document in wanted)
        found.append(gain / discounts[: len(wanted)].sum())
    return float(np.mean(found))
