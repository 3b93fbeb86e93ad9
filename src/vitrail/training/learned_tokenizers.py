"""Tokenizers learned from the texts of a training set, for encoders that are built and not loaded.

They have BERT's five special tokens and its template ([CLS] text [SEP], [CLS] text [SEP] pair [SEP]), so a saved one
opens in transformers. The same texts give the same tokenizer.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, repeat

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from vitrail.tokenization import Tokenizer
from vitrail.tokenization.folder import TokenizerFiles

KINDS = ("wordpiece", "characters", "bpe")
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
    """kind: "wordpiece" (pieces of words), "characters" (the most frequent ones) or "bpe" (what is often written
    together, for scripts without spaces: there a word is a token, where the other two see characters).
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: choose {', '.join(KINDS)}")
    # BERT's sets spaces around each Chinese character, which would leave nothing to be put together
    normalizer = normalizers.BertNormalizer(
        strip_accents=False, lowercase=lowercase, handle_chinese_chars=kind != "bpe"
    )
    splitter: pre_tokenizers.PreTokenizer = pre_tokenizers.BertPreTokenizer()
    if kind == "characters":
        steps = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
        splitter = pre_tokenizers.Sequence(steps)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    room = vocab_size - len(_SPECIAL)
    if kind == "characters":
        vocabulary = _numbered(_most_frequent(counts, room))
        backend = Backend(models.WordLevel(vocabulary, unk_token="[UNK]"))
    elif kind == "bpe":
        learned, merges = _put_together(counts, room)
        vocabulary = _numbered(learned)
        backend = Backend(models.BPE(vocabulary, merges, unk_token="[UNK]"))
    else:
        vocabulary = _numbered(_word_pieces(counts, room))
        backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]"))
        backend.decoder = decoders.WordPiece(prefix="##")
    backend.normalizer, backend.pre_tokenizer = normalizer, splitter
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL.values()])
    separate, classify = (("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    backend.post_processor = processors.BertProcessing(separate, classify)
    return Tokenizer(TokenizerFiles(backend=backend, special_tokens=_SPECIAL, max_length=max_length))


def _numbered(learned: Iterable[str]) -> dict[str, int]:
    """The special tokens and these, with their ids."""
    return {token: number for number, token in enumerate(dict.fromkeys([*_SPECIAL.values(), *learned]))}


def _most_frequent(counts: Mapping[str, int], room: int) -> list[str]:
    return sorted(counts, key=lambda character: (-counts[character], character))[:room]


def _put_together(counts: Mapping[str, int], room: int) -> tuple[list[str], list[tuple[str, str]]]:
    """(tokens, merges) of byte-pair encoding over characters ([Sennrich 2016]); rare characters stay unknown, so that
    half of the room is left for what is longer.

    [Sennrich 2016]: https://arxiv.org/abs/1508.07909
    """
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    known = set(_most_frequent(characters, max(room // 2, 1)))
    parts: Counter[str] = Counter()
    for word, count in counts.items():
        for part in "".join(character if character in known else " " for character in word).split():
            parts[part] += count
    backend = Backend(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=room, min_frequency=2, show_progress=False)
    backend.train_from_iterator(chain.from_iterable(repeat(part, parts[part]) for part in sorted(parts)), trainer)
    learned = json.loads(backend.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__), [(first, second) for first, second in learned["merges"]]


def _word_pieces(counts: Mapping[str, int], room: int) -> list[str]:
    """The pieces that merging the most frequent neighbours leaves, beginnings of words apart from what follows.

    The library's own trainer numbers what follows (`##e`) in the order of a hash table, and breaks ties by the numbers,
    so it learns something else every time. Here what follows is spelt in letters of its own, which it keeps in order.
    """
    inner = sorted({character for word in counts for character in word[1:]})
    if len(inner) > _MOST_LETTERS:
        raise ValueError(f"the texts hold {len(inner)} different characters; take kind: characters")
    own = {character: chr(_FIRST_LETTER + place) for place, character in enumerate(inner)}
    back = {letter: character for character, letter in own.items()}
    backend = Backend(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=room, show_progress=False)
    spelt = {word[0] + "".join(own[character] for character in word[1:]): count for word, count in counts.items()}
    backend.train_from_iterator(chain.from_iterable(repeat(word, spelt[word]) for word in sorted(spelt)), trainer)
    numbered = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    return [
        ("##" if token[0] in back else "") + "".join(back.get(letter, letter) for letter in token)
        for token, _ in numbered
    ]


# Private use planes: no text has these characters.
_FIRST_LETTER, _MOST_LETTERS = 0xF0000, 2**16
