"""Cases 4, 12 to 14, 18 to 20: what is refused, with which words, and what is legal."""

import copy
import inspect
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from vitrail.errors import InputError, TextTooLong, TokenizerError
from vitrail.tokenization import Tokenizer


@pytest.fixture(scope="module")
def minilm(minilm_folder) -> Tokenizer:
    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(scope="module")
def untyped(minilm):
    """`encode` as a program without types calls it: past the check of annotations that the tests switch on."""
    return partial(inspect.unwrap(Tokenizer.encode), minilm)


@pytest.mark.parametrize("wrong", [None, b"bytes", 3, float("nan"), "a\ud800b", ["nested", "list", "of three"]])
def test_what_is_no_text_is_refused_with_its_row(wrong, untyped):
    with pytest.raises(InputError, match="row 2: ") as caught:
        untyped(["fine", "é", wrong], max_length=8)

    assert caught.value.row == 2
    with pytest.raises(InputError, match="row 1: "):
        untyped([("a", "b"), ("a", wrong)], max_length=8)


@pytest.mark.parametrize("wrong", ["one text", b"bytes", None, 5, {"a": 1}])
def test_what_is_no_sequence_of_texts_is_a_type_error(wrong, untyped):
    with pytest.raises(TypeError, match="sequence of texts"):
        untyped(wrong, max_length=8)


def test_pairs_and_single_texts_do_not_mix(minilm):
    with pytest.raises(InputError, match="row 1"):
        minilm.encode([("a", "b"), "c"], max_length=8)
    with pytest.raises(TypeError, match="pairs"):
        inspect.unwrap(Tokenizer.tokens)(minilm, [("a", "b")], max_length=8)
    with pytest.raises(ValueError, match="no windows"):
        minilm.encode([("a", "b")], max_length=8, overlong="window")


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\u200b", "\x00\u200d"])
def test_a_text_without_content_is_its_special_tokens(text, minilm):
    batch = minilm.encode([text, "a"], max_length=8)

    assert batch.ids.tolist()[:2] == [101, 102]
    assert batch.boundaries.tolist() == [0, 2, 5]
    assert not batch.truncated.any()


def test_without_special_tokens_an_empty_text_is_an_empty_sequence(folder_of):
    tokenizer = Tokenizer.from_folder(folder_of("bare"))

    batch = tokenizer.encode(["", "low", "??"], max_length=3)

    assert (tokenizer.num_special(), tokenizer.padding_id, tokenizer.mask_id) == (0, None, None)
    assert batch.boundaries.tolist()[:2] == [0, 0]
    assert batch.boundaries[1] < batch.boundaries[2] == batch.boundaries[3]


def test_an_empty_batch_is_legal(minilm):
    for overlong in ("truncate", "error", "window"):
        batch = minilm.encode([], max_length=8, overlong=overlong)
        assert (batch.ids.tolist(), batch.boundaries.tolist(), batch.truncated.tolist()) == ([], [0], [])


@pytest.mark.parametrize(("words", "truncated"), [(5, False), (6, False), (7, True)])
def test_exactly_the_limit_is_not_truncated(words, truncated, minilm):
    text = " ".join(["dog"] * words)

    batch = minilm.encode([text], max_length=8)

    assert batch.truncated.tolist() == [truncated]
    assert batch.input_tokens.tolist() == [words + 2]
    assert batch.ids[-1] == 102
    assert minilm.tokens([text], max_length=8)[0].truncated == truncated
    if not truncated:
        assert minilm.encode([text], max_length=8, overlong="error").ids.tolist() == batch.ids.tolist()


def test_a_text_that_is_too_long_is_refused_by_row_tokens_and_limit(minilm):
    for refuse in (minilm.encode, minilm.tokens):
        with pytest.raises(TextTooLong, match=r"row 1: the text has 12 tokens or more, the limit is 8") as caught:
            refuse(["dog", "dog " * 10, "dog " * 20], max_length=8, overlong="error")
        assert caught.value.row == 1
    with pytest.raises(TextTooLong, match="row 0"):
        minilm.encode([("dog " * 5, "cat " * 5)], max_length=8, overlong="error")


def test_a_prompt_that_fills_the_window_is_refused_with_numbers(minilm):
    with pytest.raises(ValueError, match="6 tokens, but only 6 fit"):
        minilm.encode(["dog"], max_length=8, prompt="dog " * 6)

    assert minilm.encode(["dog"], max_length=8, prompt="dog " * 5).used_tokens.tolist() == [8]
    with pytest.raises(ValueError, match="lone surrogate"):
        minilm.encode(["dog"], max_length=8, prompt="\ud800")


@pytest.mark.parametrize("stride", [6, 7, -1])
def test_a_stride_that_does_not_advance_is_refused(stride, minilm):
    for refuse in (minilm.encode, minilm.tokens):
        with pytest.raises(ValueError, match=f"stride {stride} is not between 0 and 5"):
            refuse(["dog"], max_length=8, overlong="window", stride=stride)


def test_arguments_without_a_meaning_are_refused(minilm, untyped):
    with pytest.raises(ValueError, match="truncate, error, window"):
        untyped(["a"], max_length=8, overlong="cut")
    with pytest.raises(ValueError, match='overlong="window"'):
        minilm.encode(["a"], max_length=8, stride=2)
    with pytest.raises(ValueError, match="leaves no room beside 2 special tokens"):
        minilm.encode(["a"], max_length=2)


@pytest.mark.parametrize("name", ["spm.model", "sentencepiece.bpe.model", "spiece.model"])
def test_a_sentencepiece_file_alone_is_refused_with_the_remedy(name, tmp_path):
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(TokenizerError, match=r"save_pretrained"):
        Tokenizer.from_folder(tmp_path)


def test_a_folder_without_a_usable_tokenizer_says_what_is_wrong(tmp_path):
    with pytest.raises(TokenizerError, match=r"expected tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "vocab.txt").write_text("just\nwords\n")
    with pytest.raises(TokenizerError, match=r"vocab.txt has no '\[CLS\]'"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(TokenizerError, match=r"tokenizer.json is not a tokenizer definition"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(TokenizerError, match=r"tokenizer_config.json holds a list"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"truncation_side": "left"}))
    with pytest.raises(TokenizerError, match="truncation_side"):
        Tokenizer.from_folder(tmp_path)


def test_an_absurd_length_is_no_length(folder_of):
    absurd = folder_of("word_piece", model_max_length=1000000000000000019884624838656)

    assert Tokenizer.from_folder(absurd).max_length is None


def test_a_tokenizer_can_be_copied_pickled_and_shared_by_threads(minilm, minilm_texts):
    wanted = minilm.encode(minilm_texts, max_length=64).ids.tolist()

    for other in (copy.deepcopy(minilm), pickle.loads(pickle.dumps(minilm))):
        assert other.encode(minilm_texts, max_length=64).ids.tolist() == wanted
        assert (other.runtime, other.max_length, other.mask_id) == (minilm.runtime, 512, 103)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: minilm.encode(minilm_texts, max_length=64).ids.tolist(), range(20))
        assert all(ids == wanted for ids in found)
