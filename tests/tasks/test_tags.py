"""Tags and spans: read as seqeval reads them, written in every scheme, recognised and checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from strategies import some
from vitrail.tasks.tags import faults, learned_scheme, scheme_of, spans_of, tag_labels, tags_of

SPANS = [("X", 0, 1), ("X", 1, 3), ("Y", 4, 7)]
WRITTEN = {
    "BIO": "B-X B-X I-X O B-Y I-Y I-Y",
    "BIOES": "S-X B-X E-X O B-Y I-Y E-Y",
    "BMES": "S-X B-X E-X O B-Y M-Y E-Y",
    "plain": "X X X O Y Y Y",
}
IOB1 = "I-X B-X I-X O I-Y I-Y I-Y"


@some(200)
@given(st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "XY")]), max_size=7))
def test_spans_are_those_seqeval_finds_however_wrong_the_tags_are(tags: list[str]):
    assert spans_of(tags) == [(kind, start, last + 1) for kind, start, last in get_entities(tags)]


@pytest.mark.parametrize("scheme", WRITTEN)
def test_every_scheme_is_written_read_recognised_and_found_right(scheme: str):
    tags = WRITTEN[scheme].split()

    assert tags_of(SPANS, 7, scheme=scheme) == tags
    assert scheme_of([tags]) == scheme
    assert faults(tags, scheme=scheme) == []
    assert scheme == "plain" or spans_of(tags) == SPANS


def test_iob1_is_read_and_recognised_and_learned_as_bio():
    assert scheme_of([IOB1.split()]) == "IOB1"
    assert spans_of(IOB1.split()) == SPANS
    assert faults(IOB1.split(), scheme="IOB1") == []
    assert tag_labels([IOB1.split()]) == ("O", "B-X", "I-X", "B-Y", "I-Y")
    assert faults(["B-X", "O"], scheme="IOB1") == [(0, "B-X where IOB1 has I-X")]


def test_labels_hold_every_prefix_of_every_type_in_the_scheme_of_the_data():
    labels = ["O", "B-X", "M-X", "E-X", "S-X", "B-Y", "M-Y", "E-Y", "S-Y"]

    assert list(tag_labels([["B-X", "M-X", "E-X", "O"], ["S-Y"]])) == labels
    assert tag_labels([["NOUN", "VERB"], ["NOUN"]]) == ("NOUN", "VERB")
    for labels in (("O", "B-X", "I-X"), ("O", "I-X"), ("O", "B-X", "M-X", "E-X", "S-X")):
        assert learned_scheme(labels) in ("BIO", "BMES")


@pytest.mark.parametrize(
    ("scheme", "tags", "wrong"),
    [
        ("BIO", ["O", "I-X"], [(1, "I-X without a span of X before it")]),
        ("BIO", ["B-X", "I-Y"], [(1, "I-Y without a span of Y before it")]),
        ("BIOES", ["B-X", "O"], [(0, "B-X ends a span that BIOES ends with E-")]),
        ("BMES", ["E-X"], [(0, "E-X without a span of X before it")]),
    ],
)
def test_a_tag_that_breaks_its_scheme_is_named(scheme: str, tags: list[str], wrong: list[tuple[int, str]]):
    assert faults(tags, scheme=scheme) == wrong
