"""Small tokenizers of every kind, trained in the test run and stored as published folders are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind.",
    "  Leading and   inner spaces,\n\nline breaks\tand tabs ",
    "Ünïcödé naïve café — “quoted” e\u0301 👩‍👩‍👧 𝕳𝖊𝖑𝖑𝖔",
    "我来到北京清华大学。今天天气很好 mixed with English",
    "مرحبا بالعالم שלום नमस्ते ไทยไม่มีวรรค 안녕하세요",
    "numbers 3.14159 1,234,567 x2y3 don't we'll",
    "",
    " ",
    "a",
]


@pytest.fixture(scope="session")
def minilm_texts() -> list[str]:
    """Texts of every kind, some of them long."""
    return [*TEXTS, " ".join(TEXTS * 5), "word " * 300]


def roberta_template(tokenizer: Tokenizer) -> processors.RobertaProcessing:
    return processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = roberta_template(tokenizer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=250, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = roberta_template(tokenizer)
    return tokenizer


def bare() -> Tokenizer:
    """No special tokens around a text, and words that are not in the vocabulary vanish."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(["low lower lowest new newer"], trainers.BpeTrainer(vocab_size=40))
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "word_piece": word_piece,
    "byte_level": byte_level,
    "unigram": unigram,
    "bare": bare,
}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`folder_of("unigram", model_max_length=9)`: a new folder with tokenizer.json and tokenizer_config.json."""

    def make(kind: str, **config: Any) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = KINDS[kind]()
        names = "[PAD] [UNK] [CLS] [SEP] [MASK]" if kind == "word_piece" else "<pad> <unk> <s> </s> <mask>"
        roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        named = {} if kind == "bare" else dict(zip(roles, names.split(), strict=True))
        tokenizer.save(str(folder / "tokenizer.json"))
        stated = {"tokenizer_class": "PreTrainedTokenizerFast", **named, **config}
        (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
        return folder

    return make
