"""Constrained decoding: the best of all sequences that break no rule, as trying every one of them finds it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import some
from vitrail.tasks.tag_sequences import best_sequence, refuse_partial
from vitrail.tasks.tags import faults, tag_labels

LABELS = {
    "BIO": tag_labels([["B-X", "I-X", "O", "B-Y"]]),
    "BIOES": tag_labels([["B-X", "E-X", "O"]]),
    "BMES": tag_labels([["B-X", "M-X", "E-X", "O"]]),
    "plain": ("NOUN", "O", "VERB"),
}


@some(60)
@given(st.sampled_from(sorted(LABELS)), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_it_is_the_best_of_the_sequences_without_a_fault(scheme: str, words: int, seed: int):
    labels = LABELS[scheme]
    scores = np.log(np.random.default_rng(seed).dirichlet(np.full(len(labels), 0.3), size=words) + 1e-9)
    found = best_sequence(scores, labels, scheme=scheme)

    right = [
        sum(scores[place, label] for place, label in enumerate(tried))
        for tried in product(range(len(labels)), repeat=words)
        if not faults([labels[label] for label in tried], scheme=scheme)
    ]
    assert faults([labels[label] for label in found], scheme=scheme) == []
    assert np.isclose(scores[np.arange(words), found].sum(), max(right))


def test_where_no_sequence_is_right_it_is_one_with_the_fewest_faults():
    labels = ("B-X", "E-X")  # a single word cannot be a span, nor three
    scores = np.log([[0.1, 0.9]])

    assert best_sequence(scores, labels, scheme="BIOES").tolist() == [1]
    three = [labels[label] for label in best_sequence(np.zeros((3, 2)), labels, scheme="BIOES")]
    assert len(faults(three, scheme="BIOES")) == 1


@pytest.mark.parametrize(
    ("scheme", "labels", "needs"),
    [("BIO", ("O", "I-X"), "I-X goes with B-X"), ("BMES", ("O", "B-X", "M-X"), "B-X goes with E-X")],
)
def test_labels_that_could_stand_nowhere_are_refused(scheme: str, labels: tuple[str, ...], needs: str):
    with pytest.raises(ValueError, match=needs):
        refuse_partial(labels, scheme=scheme)
    for whole, each in LABELS.items():
        refuse_partial(each, scheme=whole)
