"""Embedding: contrastive and CoSENT losses as sentence-transformers computes them, metrics by their definition."""

import numpy as np
import pytest
import torch
from scipy import stats
from sentence_transformers.sentence_transformer import losses
from torch import nn

import vitrail
from vitrail.errors import InputError
from vitrail.tasks.embedding import EmbeddingOptions, TextVectors
from vitrail.tasks.metrics import pearson, spearman

PAIRS = [
    {"text": "a cat", "text_pair": "a small cat", "negative": ["a dog", "no cat"]},
    {"text": "rain", "text_pair": "it rains"},
    {"text": "how to cook rice", "text_pair": "boil it in water", "negative": ["buy it"]},
]
SCORED = [
    {"text": f"text {n}", "text_pair": f"other {n * n}", "score": score} for n, score in enumerate([0.3, 1, 0, 0.3])
]


class Fixed(nn.Module):
    """A model of sentence-transformers that gives vectors computed before."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["vectors"]}


def attached(encoder: vitrail.Encoder, **options: object) -> vitrail.Encoder:
    encoder.attach(encoder.new_task("embedding", options=EmbeddingOptions(**options)))
    return encoder


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_contrastive_loss_is_that_of_sentence_transformers(encoder: vitrail.Encoder, symmetric: bool):
    attached(encoder, scale=13.0, symmetric=symmetric)
    rows = [row | {"negative": ["x y"]} for row in PAIRS]
    examples = encoder.task.examples(rows, encoder.tokenizer, max_length=64)
    vectors = encoder.task_outputs(examples)
    columns = [{"vectors": vectors[place::3]} for place in range(3)]
    theirs = losses.MultipleNegativesRankingLoss(Fixed(), scale=13.0)(columns, torch.empty(0))

    loss = encoder.task.loss(vectors, examples)

    if symmetric:
        logits = 13.0 * nn.functional.cosine_similarity(vectors[1::3].unsqueeze(1), vectors[0::3].unsqueeze(0), dim=-1)
        back = nn.functional.cross_entropy(logits, torch.arange(3))
        torch.testing.assert_close(loss, 3 * (theirs + back) / 2)
    else:
        torch.testing.assert_close(loss, 3 * theirs)
    assert encoder.task.couples_rows


def test_rows_may_have_any_number_of_negatives(encoder: vitrail.Encoder):
    attached(encoder)
    examples = encoder.task.examples(PAIRS, encoder.tokenizer, max_length=64)
    vectors = nn.functional.normalize(encoder.task_outputs(examples), dim=-1)
    anchors, others = vectors[[0, 4, 6]], vectors[[1, 5, 7, 2, 3, 8]]

    expected = nn.functional.cross_entropy(20 * anchors @ others.T, torch.arange(3), reduction="sum")

    torch.testing.assert_close(encoder.task.loss(encoder.task_outputs(examples), examples), expected)


def test_cosent_is_that_of_sentence_transformers_times_the_rows(encoder: vitrail.Encoder):
    attached(encoder, scale=9.0)
    examples = encoder.task.examples(SCORED, encoder.tokenizer, max_length=64)
    vectors = encoder.task_outputs(examples)
    columns = [{"vectors": vectors[place::2]} for place in range(2)]

    theirs = losses.CoSENTLoss(Fixed(), scale=9.0)(columns, torch.tensor([row["score"] for row in SCORED]))

    torch.testing.assert_close(encoder.task.loss(vectors, examples), 4 * theirs)


def test_vectors_are_those_embed_gives(encoder: vitrail.Encoder):
    attached(encoder)

    single, pair = encoder.predict(["a cat", ("a cat", "a dog")])

    np.testing.assert_allclose(single.vectors[0], encoder.embed("a cat"), rtol=1e-5, atol=1e-6)
    cosine = encoder.similarity(*encoder.embed(["a cat", "a dog"]))
    assert single.similarity is None
    assert pair.similarity == pytest.approx(float(cosine[0, 0]), abs=1e-5)


def test_partners_are_ranked_among_the_partners_of_all_rows(encoder: vitrail.Encoder):
    attached(encoder)
    examples = encoder.task.examples(PAIRS, encoder.tokenizer, max_length=64)
    vectors = [np.array(pair, dtype=np.float32) for pair in ([[1, 0], [1, 0]], [[0, 1], [1, 1]], [[1, 1], [0, 1]])]
    results = [TextVectors(vectors=pair, similarity=None) for pair in vectors]

    # of the second row (0, 1) is nearer than its own (1, 1); of the third (1, 1) and, equally near, (1, 0)
    assert encoder.task.score(results, examples) == pytest.approx({"mrr": (1 + 1 / 2 + 1 / 3) / 3, "accuracy": 1 / 3})


def test_correlations_are_those_of_scipy(encoder: vitrail.Encoder):
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 5, 40).astype(float), generator.random(40)

    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert spearman(a * 0, b) == 0


def test_a_row_without_a_partner_or_a_score_is_named(encoder: vitrail.Encoder):
    attached(encoder)
    with pytest.raises(InputError, match="row 1: has the score None; others have a number"):
        encoder.task.examples([SCORED[0], PAIRS[1]], encoder.tokenizer, max_length=64)
    alone = encoder.task.examples([{"text": "a"}], encoder.tokenizer, max_length=64, first_row=4)
    with pytest.raises(InputError, match="row 4: has no partner"):
        encoder.task.loss(encoder.task_outputs(alone), alone)
