"""Case 15: what a hostile text costs, and that bounding changes no token that is used."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrail.tokenization import MAX_WINDOWS, Tokenizer, bounds

HOSTILE = {
    "2 MB without spaces": "a" * 2_000_000,
    "1 M CJK characters": "中文字" * 333_334,
    "1 M combining marks": "a" + "\u0301" * 1_000_000,
    "2 MB of punctuation": ".," * 1_000_000,
    "1 M characters that normalise to eighteen": "ﷺ" * 1_000_000,
    "2 MB of spaces": " " * 2_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["word_piece", "byte_level", "unigram"])
@pytest.mark.parametrize("max_length", [128, 2048])
def test_a_hostile_text_takes_less_than_half_a_second_and_leaves_its_neighbours_alone(
    name, kind, max_length, folder_of
):
    tokenizer = Tokenizer.from_folder(folder_of(kind), fast=False)
    alone = tokenizer.encode(["left", "right neighbour"], max_length=max_length)

    start = time.process_time()
    batch = tokenizer.encode(["left", HOSTILE[name], "right neighbour"], max_length=max_length)
    seconds = time.process_time() - start

    left, hostile, right = np.split(batch.ids, batch.boundaries[1:-1])
    assert seconds < 0.5
    assert len(hostile) <= max_length
    assert np.concatenate([left, right]).tolist() == alone.ids.tolist()
    assert batch.truncated.tolist() == [False, True, False]


@pytest.mark.parametrize("kind", ["word_piece", "byte_level", "unigram"])
@settings(max_examples=15, deadline=None)
@given(words=st.lists(st.text(min_size=1, max_size=8), min_size=30, max_size=80), data=st.data())
def test_the_tokens_that_are_used_are_those_of_the_whole_text(kind, words, data, folder_of):
    tokenizer = opened(kind, folder_of)
    text = data.draw(st.sampled_from([" ", "\n", "  ", " \n"])).join(words)

    with pytest.MonkeyPatch.context() as patch:
        # Beginnings so short that these texts are bounded too, and grow.
        patch.setattr(bounds, "FIRST_CHARACTERS", 20)
        patch.setattr(bounds, "FIRST_PER_TOKEN", 1)
        batch = tokenizer.encode([text], max_length=12)

    whole = tokenizer.encode([text], max_length=None).ids
    seen = min(11, len(whole) - 1)  # all but the special token at the end
    assert batch.ids[:seen].tolist() == whole[:seen].tolist()
    assert batch.truncated[0] == (len(whole) > 12)


_opened: dict[str, Tokenizer] = {}


def opened(kind, folder_of) -> Tokenizer:
    if kind not in _opened:
        _opened[kind] = Tokenizer.from_folder(folder_of(kind), fast=False)
    return _opened[kind]


def test_a_text_that_needs_many_characters_a_token_is_read_on_until_there_are_enough(minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    text = " " * 40_000 + "and then words " * 100

    batch = tokenizer.encode([text], max_length=64)

    assert batch.used_tokens.tolist() == [64]
    assert batch.ids[1:4].tolist() == tokenizer.encode(["and then words"], max_length=None).ids[1:4].tolist()


def test_a_metaspace_tokenizer_has_no_boundary_at_a_line_break(folder_of):
    unigram = Tokenizer.from_folder(folder_of("unigram"))._backend
    word_piece = Tokenizer.from_folder(folder_of("word_piece"))._backend

    assert not bounds.boundary_pattern(unigram).search("a\nb")
    assert bounds.boundary_pattern(unigram).search("a b")
    assert bounds.boundary_pattern(word_piece).search("a\nb")


def test_windows_of_one_text_are_bounded_and_the_rest_is_reported(minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)

    batch = tokenizer.encode(["word " * 9_000, "word"], max_length=10, overlong="window")

    assert np.bincount(batch.text_index).tolist() == [MAX_WINDOWS, 1]
    assert batch.used_tokens.tolist() == [2 + 8 * MAX_WINDOWS, 3]
    assert batch.truncated.tolist() == [True, False]
