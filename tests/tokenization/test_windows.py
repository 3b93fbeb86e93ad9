"""Windows over long text and prompts: every content token is seen, and is given back once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from vitrail.tokenization import Tokenizer, merge_windows
from vitrail.tokenization.windows import window_spans


@given(tokens=st.integers(0, 200), size=st.integers(1, 30), data=st.data())
def test_windows_cover_every_token_and_overlap_by_the_stride(tokens, size, data):
    stride = data.draw(st.integers(0, size - 1))

    spans = window_spans(tokens, size=size, stride=stride)

    assert spans[0][0] == 0
    assert spans[-1][1] == tokens
    assert all(0 < end - start <= size for start, end in spans) or tokens == 0
    assert all(end - following == stride for (_, end), (following, _) in pairwise(spans))


@pytest.mark.parametrize(("max_length", "stride"), [(10, 0), (10, 3), (10, 7), (64, 5), (None, 0)])
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_merged_windows_give_back_the_whole_text_once(max_length, stride, prompt, minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    texts = ["one short", "", " ".join(f"word{i} is here" for i in range(30)), "end"]
    stride = min(stride, 4) if prompt else stride

    batch = tokenizer.encode(texts, max_length=max_length, overlong="window", stride=stride, prompt=prompt)

    whole = tokenizer.encode([prompt + text for text in texts], max_length=None)
    merged = merge_windows(batch, batch.ids)
    assert [part.tolist() for part in merged] == [part.tolist() for part in np.split(whole.ids, whole.boundaries[1:-1])]
    assert batch.used_tokens.tolist() == [len(part) for part in merged]
    assert not batch.truncated.any()


def test_a_token_takes_its_value_from_the_window_in_which_it_is_farthest_from_an_edge(minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    size, stride, text = 8, 5, "a b c d e f g h i j k l m n o p q"
    batch = tokenizer.encode([text], max_length=size + 2, overlong="window", stride=stride)
    lengths = np.diff(batch.boundaries)
    window = np.repeat(np.arange(len(lengths)), lengths)

    chosen = merge_windows(batch, window)[0][1:-1]

    tokens = tokenizer.tokens([text], max_length=size + 2, overlong="window", stride=stride)[0]
    count = len(tokens.ids) - 2

    def distance(token: int, start: int, end: int) -> int:
        left = token - start if start else count
        right = end - 1 - token if end < count else count
        return min(left, right)

    for token, number in enumerate(chosen):
        within = [distance(token, start, end) for start, end in tokens.windows if start <= token < end]
        assert distance(token, *tokens.windows[number]) == max(within)


def test_tokens_names_the_windows_that_encode_makes(minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    texts = ["short", "a longer text of more than ten tokens, with offsets"]

    batch = tokenizer.encode(texts, max_length=8, overlong="window", stride=2)
    placed = tokenizer.tokens(texts, max_length=8, overlong="window", stride=2)

    starts = [start for text in placed for start, _ in text.windows]
    assert batch.window_start.tolist() == starts
    content = (np.diff(batch.boundaries) - tokenizer.num_special()).tolist()
    assert content == [end - start for text in placed for start, end in text.windows]
    assert [part.tolist() for part in merge_windows(batch, batch.ids)] == [text.ids.tolist() for text in placed]


def test_values_of_several_columns_are_merged_by_row(minilm_folder):
    batch = Tokenizer.from_folder(minilm_folder).encode(["a b c d e f"], max_length=5, overlong="window", stride=1)

    merged = merge_windows(batch, np.stack([batch.ids, -batch.ids], axis=1))

    assert merged[0].shape == (8, 2)
    with pytest.raises(ValueError, match="one per packed token"):
        merge_windows(batch, batch.ids[1:])


@pytest.mark.parametrize("kind", ["word_piece", "byte_level", "unigram"])
@pytest.mark.parametrize("prompt", ["query: ", "ask", "the fox"])
def test_prompt_tokens_are_counted_as_sentence_transformers_counts_them(kind, prompt, folder_of):
    folder = folder_of(kind)
    batch = Tokenizer.from_folder(folder).encode(["dog", "lazy dog"], max_length=None, prompt=prompt)

    reference = AutoTokenizer.from_pretrained(folder)
    alone = reference(prompt)["input_ids"]
    assert batch.prompt_tokens == len(alone) - (alone[-1] in reference.all_special_ids)
    assert batch.ids[: batch.boundaries[1]].tolist() == reference(prompt + "dog")["input_ids"]


def test_without_a_prompt_no_token_belongs_to_one(minilm_folder):
    assert Tokenizer.from_folder(minilm_folder).encode(["a"], max_length=8).prompt_tokens == 0
