"""A tokenizer learned from texts: the same every time, and open to the reference library."""

import pytest
from transformers import AutoTokenizer

from vitrail.training.learned_tokenizers import learn_tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "quicker, quickest and unquick: browning brownies",
    "注意力机制让每个词看到所有其他词",
    "a 👩‍👩‍👧 family",
] * 3


def learned(kind: str, vocab_size: int = 70):
    return learn_tokenizer(TEXTS, kind=kind, vocab_size=vocab_size, lowercase=True, max_length=16)


@pytest.mark.parametrize("kind", ["wordpiece", "characters", "bpe"])
def test_the_same_texts_give_the_same_ids_every_time_and_in_transformers(kind: str, tmp_path):
    tokenizer = learned(kind)
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)

    for text in [*TEXTS, "", "unseen lazily"]:
        ids = tokenizer.encode([text], max_length=None).ids.tolist()
        assert ids == theirs(text)["input_ids"]
        for _ in range(3):
            assert learned(kind).encode([text], max_length=None).ids.tolist() == ids


def test_word_pieces_cover_frequent_words_whole_and_rare_ones_in_parts():
    tokenizer = learned("wordpiece", vocab_size=100)
    vocabulary = tokenizer._backend.get_vocab()

    assert len(vocabulary) <= 100
    assert {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "quick"} <= vocabulary.keys()
    assert any(token.startswith("##") and len(token) > 3 for token in vocabulary)
    assert (tokenizer.padding_id, tokenizer.mask_id) == (0, 4)


def test_characters_are_single_and_the_most_frequent_come_first():
    tokenizer = learned("characters", vocab_size=12)

    assert tokenizer.vocab_size == 12
    assert all(len(token) == 1 for token, number in tokenizer._backend.get_vocab().items() if number > 4)


def test_what_is_often_written_together_is_one_token_also_without_spaces():
    tokenizer = learned("bpe", vocab_size=120)
    vocabulary = tokenizer._backend.get_vocab()

    assert "注意力机制让每个词看到所有其他词" in vocabulary
    assert sum(len(token) > 1 for token, number in vocabulary.items() if number > 4) >= 50
    assert tokenizer.vocab_size <= 120


def test_rare_characters_are_unknown_and_leave_room_for_what_is_longer():
    letters = "".join(chr(0x4E00 + number) for number in range(200))
    often = "房间很好"
    tokenizer = learn_tokenizer([letters, *[often] * 9], kind="bpe", vocab_size=45, lowercase=True, max_length=None)

    assert len(tokenizer.encode([often], max_length=None).ids) == 3  # between [CLS] and [SEP]
    assert sum(len(token) == 1 for token in tokenizer._backend.get_vocab()) <= 20


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="kind 'unigram': choose wordpiece, characters, bpe"):
        learned("unigram")
