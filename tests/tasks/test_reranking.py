"""Queries and documents read together: loss, scores and ranks, and what sentence-transformers makes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder
from sklearn.metrics import ndcg_score

import vitrail
from tasks.references import padded
from vitrail.errors import InputError, UnsupportedModel
from vitrail.tasks.reranking import Ranking, Relevance, RerankingOptions

ROWS = [
    {"query": "cats", "document": "a cat is a small animal", "label": 1},
    {"query": "cats", "document": "rain", "label": 0},
    {"query": "weather", "document": "rain", "label": 0.5},
]
ONE_SCORE = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
AUTO = transformers.AutoModelForSequenceClassification


def test_the_loss_is_binary_cross_entropy_summed_over_the_rows(bert: Callable[..., Any]):
    model, folder = bert(AUTO, **ONE_SCORE)
    encoder = vitrail.load(folder, task="reranking", device="cpu")
    examples = encoder.task.examples(ROWS, encoder.tokenizer, max_length=64)

    loss = encoder.task.loss(encoder.task_outputs(examples), examples)

    logits = model(**padded(examples)).logits.squeeze(-1)
    targets = torch.tensor([1, 0, 0.5])
    torch.testing.assert_close(
        loss, torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    )


@pytest.mark.parametrize("activation", ["sigmoid", "identity"])
def test_scores_are_those_of_a_cross_encoder_both_ways(bert: Callable[..., Any], tmp_path: Path, activation: str):
    _, folder = bert(AUTO, **ONE_SCORE)
    function = torch.nn.Sigmoid() if activation == "sigmoid" else torch.nn.Identity()
    theirs = CrossEncoder(str(folder), device="cpu", activation_fn=function)
    theirs.save_pretrained(str(tmp_path / "saved"))
    pairs = [(row["query"], row["document"]) for row in ROWS]

    encoder = vitrail.load(tmp_path / "saved", task="auto", device="cpu")
    encoder.save(tmp_path / "ours")
    again = CrossEncoder(str(tmp_path / "ours"), device="cpu")

    expected = theirs.predict(pairs, show_progress_bar=False)
    assert encoder.task.options == RerankingOptions(activation=activation)
    np.testing.assert_allclose([each.score for each in encoder.predict(pairs)], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.predict(pairs, show_progress_bar=False), expected, rtol=1e-4, atol=1e-5)
    assert vitrail.load(tmp_path / "ours", task="reranking").task.options.activation == activation


def test_documents_of_a_query_are_ranked(encoder: vitrail.Encoder):
    encoder.attach(encoder.new_task("reranking"))
    documents = [f"document number {number} " + "long " * number for number in range(9)]

    ranking = encoder.predict({"query": "q", "documents": documents}, batch_tokens=20)
    alone = [each.score for each in encoder.predict([("q", document) for document in documents])]

    assert isinstance(ranking, Ranking)
    assert sorted(ranking.order) == list(range(9))
    np.testing.assert_allclose(ranking.scores, sorted(alone, reverse=True), rtol=1e-5)
    np.testing.assert_allclose(ranking.scores, [alone[place] for place in ranking.order], rtol=1e-5)


def test_metrics_rank_the_rows_of_each_query(encoder: vitrail.Encoder):
    encoder.attach(encoder.new_task("reranking", options=RerankingOptions(highest_label=3.0)))
    generator = np.random.default_rng(0)
    labels, found = generator.integers(0, 4, (5, 14)), generator.random((5, 14))
    labels[4] = 0  # no rank
    rows = [{"query": str(row), "document": "d", "label": int(label)} for row in range(5) for label in labels[row]]
    examples = encoder.task.examples(rows, encoder.tokenizer, max_length=64)

    scores = encoder.task.score([Relevance(score=float(score)) for score in found.ravel()], examples)

    ranks = [np.flatnonzero(labels[row][np.argsort(-found[row])] > 0)[0] + 1 for row in range(4)]
    assert scores["ndcg@10"] == pytest.approx(ndcg_score(labels[:4], found[:4], k=10))
    assert scores["mrr@10"] == pytest.approx(np.mean([1 / rank if rank <= 10 else 0 for rank in ranks]))
    assert scores["accuracy"] == pytest.approx(((found > 0.5) == (labels / 3 > 0.5)).mean())
    assert tuple(scores) == encoder.task.metric_names


def test_labels_outside_the_scale_are_named(encoder: vitrail.Encoder):
    task = encoder.new_task("reranking")
    for row, message in (
        (ROWS[0] | {"label": 2}, "row 5: has the label 2; labels go from 0 to highest_label, which is 1"),
        (ROWS[0] | {"label": "yes"}, "row 5: has the label 'yes', where a number is needed"),
        ({"query": "q", "documents": []}, "row 5: needs a list of texts in 'documents'"),
    ):
        with pytest.raises(InputError, match=message):
            task.examples([row], encoder.tokenizer, max_length=64, first_row=5)


def test_a_classifier_of_labels_is_no_ranker_and_the_other_way_round(bert: Callable[..., Any]):
    _, folder = bert(AUTO)
    with pytest.raises(UnsupportedModel, match="gives labels, which is not 'reranking'; load it with task='text-class"):
        vitrail.load(folder, task="reranking")
    _, folder = bert(AUTO, **ONE_SCORE)
    with pytest.raises(UnsupportedModel, match="gives one score, which is not 'text-classification'"):
        vitrail.load(folder, task="text-classification")
