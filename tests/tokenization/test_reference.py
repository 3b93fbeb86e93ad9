"""Ids, types and offsets against transformers' own tokenizers, the independent oracle of this room."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, BertTokenizer, RobertaTokenizer

from vitrail.tokenization import TokenBatch, Tokenizer

from .conftest import KINDS, TEXTS

PAIRS = [("a short one", TEXTS[0]), (TEXTS[3], TEXTS[4]), ("", "x"), (TEXTS[5], ""), (TEXTS[1] * 3, TEXTS[1] * 3)]
WITH_SPECIALS = ["[CLS] inside [SEP][MASK]", "a <mask> b", "<s></s>", "hello<mask>", "x  <mask>  y [UNK]"]


def sequences(batch: TokenBatch) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.ids, batch.boundaries[1:-1])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [None, 7, 20])
@pytest.mark.parametrize("fast", [None, False])
def test_ids_are_those_of_the_reference(kind, max_length, fast, folder_of):
    folder = folder_of(kind)
    tokenizer, reference = Tokenizer.from_folder(folder, fast=fast), AutoTokenizer.from_pretrained(folder)
    texts = TEXTS + WITH_SPECIALS

    batch = tokenizer.encode(texts, max_length=max_length)

    wanted = reference(texts, truncation=max_length is not None, max_length=max_length)
    assert sequences(batch) == wanted["input_ids"]
    assert batch.used_tokens.tolist() == [len(ids) for ids in wanted["input_ids"]]
    whole = [len(ids) for ids in reference(texts)["input_ids"]]
    assert batch.input_tokens.tolist() == whole
    assert batch.truncated.tolist() == [max_length is not None and length > max_length for length in whole]
    assert batch.token_type_ids is None


@pytest.mark.parametrize("kind", ["word_piece", "byte_level", "unigram"])
@pytest.mark.parametrize("max_length", [None, 5, 8, 9, 15, 30, 31])
def test_pairs_are_cut_longest_first_with_the_references_types(kind, max_length, folder_of):
    folder = folder_of(kind)
    tokenizer, reference = Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(folder)

    batch = tokenizer.encode(PAIRS, max_length=max_length)

    wanted = reference(
        *map(list, zip(*PAIRS, strict=True)),
        truncation="longest_first" if max_length else False,
        max_length=max_length,
        return_token_type_ids=True,
    )
    assert sequences(batch) == wanted["input_ids"]
    types = np.split(batch.token_type_ids, batch.boundaries[1:-1])
    assert [part.tolist() for part in types] == wanted["token_type_ids"]
    assert tokenizer.num_special(pair=True) == reference.num_special_tokens_to_add(pair=True)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_are_code_points_of_the_original_text(kind, folder_of):
    folder = folder_of(kind)
    tokenizer, reference = Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(folder)

    found = tokenizer.tokens(TEXTS, max_length=None)

    for text, tokens in zip(TEXTS, found, strict=True):
        wanted = reference(text, return_offsets_mapping=True)
        assert tokens.ids.tolist() == wanted["input_ids"]
        assert [tuple(pair) for pair in tokens.offsets.tolist()] == wanted["offset_mapping"]
        assert [None if word < 0 else word for word in tokens.words.tolist()] == wanted.word_ids()
        assert tokens.special.tolist() == [word is None for word in wanted.word_ids()]


@pytest.mark.parametrize("form", ["e\u0301te\u0301", "été", "👩‍👩‍👧 été", "نص été", "𝕳 été"])
def test_a_word_is_found_at_its_own_characters(form, minilm_folder):
    tokens = Tokenizer.from_folder(minilm_folder).tokens([f"{form} end"], max_length=None)[0]

    start, stop = tokens.offsets[~tokens.special][-1]

    assert f"{form} end"[start:stop] == "end"


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("max_length", [None, 16, 256])
def test_the_real_minilm_gives_the_references_ids(fast, max_length, minilm_folder, minilm_texts):
    tokenizer, reference = Tokenizer.from_folder(minilm_folder, fast=fast), AutoTokenizer.from_pretrained(minilm_folder)

    batch = tokenizer.encode(minilm_texts, max_length=max_length)

    wanted = reference(minilm_texts, truncation=max_length is not None, max_length=max_length, padding=False)
    assert sequences(batch) == wanted["input_ids"]
    assert (tokenizer.vocab_size, tokenizer.padding_id, tokenizer.mask_id, tokenizer.max_length) == (30522, 0, 103, 512)


def test_a_literal_special_token_is_that_special_token_as_in_the_reference(minilm_folder):
    tokenizer = Tokenizer.from_folder(minilm_folder)

    assert tokenizer.encode(["[CLS]"], max_length=None).ids.tolist() == [101, 101, 102]


@pytest.mark.parametrize(
    "options", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}]
)
def test_vocab_txt_alone_is_berts_tokenizer(options, minilm_folder, minilm_texts, tmp_path):
    shutil.copy(minilm_folder / "vocab.txt", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **options}))

    batch = Tokenizer.from_folder(tmp_path).encode(minilm_texts + WITH_SPECIALS, max_length=None)

    reference = BertTokenizer.from_pretrained(tmp_path)
    assert sequences(batch) == reference(minilm_texts + WITH_SPECIALS)["input_ids"]


def test_options_of_a_bert_folder_win_over_its_tokenizer_json(minilm_folder, minilm_texts, tmp_path):
    shutil.copy(minilm_folder / "tokenizer.json", tmp_path)
    options = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(options))

    batch = Tokenizer.from_folder(tmp_path).encode(minilm_texts, max_length=None)

    assert sequences(batch) == AutoTokenizer.from_pretrained(tmp_path)(minilm_texts, padding=False)["input_ids"]


@pytest.mark.parametrize("options", [{}, {"add_prefix_space": True}])
def test_vocab_json_with_merges_is_robertas_tokenizer(options, folder_of, tmp_path):
    definition = json.loads((folder_of("byte_level") / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(definition["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(merge) for merge in definition["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer", **options}))

    batch = Tokenizer.from_folder(tmp_path).encode(TEXTS + WITH_SPECIALS, max_length=None)

    assert sequences(batch) == RobertaTokenizer.from_pretrained(tmp_path)(TEXTS + WITH_SPECIALS)["input_ids"]


def test_lowercase_does_what_sentence_transformers_does_with_do_lower_case(folder_of):
    folder = folder_of("byte_level")

    lowered = Tokenizer.from_folder(folder, lowercase=True).encode(TEXTS, max_length=None)

    plain = Tokenizer.from_folder(folder).encode([text.lower() for text in TEXTS], max_length=None)
    assert sequences(lowered) == sequences(plain)


@pytest.mark.parametrize("kind", ["word_piece", "byte_level", "unigram"])
@pytest.mark.parametrize("model_type", [None, "bert", "roberta"])
def test_a_saved_tokenizer_opens_in_transformers_and_here_with_equal_ids(kind, model_type, folder_of, tmp_path):
    original = Tokenizer.from_folder(folder_of(kind, model_max_length=77), lowercase=True)
    texts = [*TEXTS, *WITH_SPECIALS, "CAPITALS"]
    if model_type:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))

    original.save(tmp_path)

    wanted = sequences(original.encode(texts, max_length=None))
    opened, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    assert opened(texts)["input_ids"] == wanted
    assert ("token_type_ids" in opened("x")) == (kind == "word_piece")
    assert (opened.model_max_length, opened.pad_token_id) == (77, original.padding_id)
    assert sequences(again.encode(texts, max_length=None)) == wanted
    assert (again.max_length, again.mask_id) == (77, original.mask_id)


def test_the_flags_of_a_special_token_survive_saving(minilm_folder, tmp_path):
    source, saved = tmp_path / "source", tmp_path / "saved"
    source.mkdir()
    shutil.copy(minilm_folder / "vocab.txt", source)
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    (source / "special_tokens_map.json").write_text(json.dumps({"mask_token": mask}))
    tokenizer = Tokenizer.from_folder(source)
    text = "a   [MASK] b"

    tokenizer.save(saved)

    offsets = tokenizer.tokens([text], max_length=None)[0].offsets.tolist()
    assert offsets == Tokenizer.from_folder(saved).tokens([text], max_length=None)[0].offsets.tolist()
    assert [tuple(pair) for pair in offsets] == AutoTokenizer.from_pretrained(saved)(text, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    assert offsets[2] == [1, 10]


def test_padding_and_truncation_baked_into_a_file_are_off(minilm_folder):
    baked = json.loads(Path(minilm_folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert baked["truncation"] is not None
    assert baked["padding"] is not None

    batch = Tokenizer.from_folder(minilm_folder, fast=False).encode(["a", "word " * 300], max_length=None)

    assert np.diff(batch.boundaries).tolist() == [3, 302]
