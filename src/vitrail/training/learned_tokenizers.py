"""Tokenizers learned from the texts of a training set, for encoders that are built and not loaded.

They have BERT's five special tokens and its template ([CLS] text [SEP], [CLS] text [SEP] pair [SEP]), so a saved one
opens in transformers. The same texts give the same tokenizer.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from vitrail.tokenization import Tokenizer
from vitrail.tokenization.folder import TokenizerFiles

_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def learn_tokenizer(
    texts: Iterable[str], *, kind: str, vocab_size: int, lowercase: bool, max_length: int | None
) -> Tokenizer:
    """kind: "wordpiece" (pieces of words) or "characters" (the `vocab_size` most frequent ones)."""
    special = [AddedToken(token, special=True, normalized=False) for token in _SPECIAL.values()]
    backend: Backend
    trainer: trainers.Trainer
    if kind == "wordpiece":
        backend = Backend(models.WordPiece(unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(prefix="##")
        trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    elif kind == "characters":
        backend = Backend(models.WordLevel(unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
        )
        trainer = trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    else:
        raise ValueError(f"kind {kind!r}: choose wordpiece or characters")
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
    backend.train_from_iterator(texts, trainer)
    numbers = {name: backend.token_to_id(name) or 0 for name in ("[SEP]", "[CLS]")}
    backend.post_processor = processors.BertProcessing(*numbers.items())
    return Tokenizer(TokenizerFiles(backend=backend, special_tokens=_SPECIAL, max_length=max_length))
