"""nanotoken runs only where it is right, and the fallback says why."""

import sys

import numpy as np
import pytest

from vitrail.errors import TokenizerError
from vitrail.tokenization import Tokenizer, fast
from vitrail.tokenization.hard_corpus import hard_corpus

nanotoken = pytest.importorskip("nanotoken", reason="extra `fast`")


class Sabotaged:
    """nanotoken with one wrong id, in one text of the hard corpus."""

    def __init__(self, engine):
        self.engine = engine

    def encode_batch(self, texts, add_special_tokens):
        batch = self.engine.encode_batch(texts, add_special_tokens=add_special_tokens)
        for row, text in enumerate(texts):
            if "ΑΘΗΝΑΣ" in text:
                batch.ids[batch.offsets[row]] += 1
        return batch


@pytest.fixture
def no_verdicts(monkeypatch):
    monkeypatch.setattr(fast, "_verdicts", {})


def test_nanotoken_runs_the_real_minilm_and_runtime_says_so(minilm_folder, no_verdicts):
    runtime = Tokenizer.from_folder(minilm_folder).runtime

    assert runtime.startswith("nanotoken 0.1.0 (ids) + tokenizers ")


def test_an_engine_that_gives_other_ids_is_not_used(minilm_folder, minilm_texts, no_verdicts, monkeypatch):
    build = nanotoken.Tokenizer.from_json
    monkeypatch.setattr(nanotoken.Tokenizer, "from_json", lambda definition: Sabotaged(build(definition)))

    tokenizer = Tokenizer.from_folder(minilm_folder)

    assert tokenizer.runtime.startswith("tokenizers ")
    assert "gives other ids, first for '\\u0391\\u0398" in tokenizer.runtime
    plain = Tokenizer.from_folder(minilm_folder, fast=False)
    assert plain.runtime == f"tokenizers {tokenizer.runtime.split()[1]}"
    np.testing.assert_array_equal(
        tokenizer.encode(minilm_texts, max_length=64).ids, plain.encode(minilm_texts, max_length=64).ids
    )
    with pytest.raises(TokenizerError, match=r"fast=True, but nanotoken 0\.1\.0 gives other ids"):
        Tokenizer.from_folder(minilm_folder, fast=True)


def test_the_check_is_made_once_for_a_tokenizer(minilm_folder, no_verdicts, monkeypatch):
    made = []
    check = fast._first_difference
    monkeypatch.setattr(fast, "_first_difference", lambda *given: made.append(1) or check(*given))

    for _ in range(3):
        Tokenizer.from_folder(minilm_folder)

    assert made == [1]


def test_without_nanotoken_the_library_does_the_same(minilm_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "nanotoken", None)

    tokenizer = Tokenizer.from_folder(minilm_folder)

    assert "nanotoken is not installed" in tokenizer.runtime
    assert tokenizer.encode(["a text"], max_length=None).ids.tolist() == [101, 1037, 3793, 102]
    with pytest.raises(TokenizerError, match="pip install"):
        Tokenizer.from_folder(minilm_folder, fast=True)


def test_other_models_than_word_piece_fall_back_with_a_reason(folder_of):
    assert "WordPiece only, this is Unigram" in Tokenizer.from_folder(folder_of("unigram")).runtime
    with pytest.raises(TokenizerError, match="WordPiece only, this is BPE"):
        Tokenizer.from_folder(folder_of("byte_level"), fast=True)


def test_the_hard_corpus_is_the_same_each_time_and_meets_every_kind_of_character():
    import unicodedata

    texts = hard_corpus(["[CLS]"])

    assert texts == hard_corpus(["[CLS]"])
    assert 300 < len(texts) < 1000
    categories = {unicodedata.category(character) for character in "".join(texts)}
    assert len(categories) == 29  # all of Unicode's 30 but surrogates
