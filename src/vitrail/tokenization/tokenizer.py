"""Text to ids: `Tokenizer`, the one class of this room.

The idea: texts are tokenised bare, so much of each as will be used (`bounds.py`), by whichever engine may run
(`fast.py`); special tokens, truncation, windows and pairs come afterwards, on arrays (`assembly.py`).

A special token written out in a text (`[CLS]`) becomes that special token, as in the reference library.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Int64

from vitrail.errors import TokenizerError
from vitrail.tokenization.assembly import assemble_pairs, assemble_texts, assemble_windows
from vitrail.tokenization.batch import TokenBatch, TokenizedText
from vitrail.tokenization.bounds import Contents, Encode, boundary_pattern, encode_bounded
from vitrail.tokenization.checks import Overlong, check_stride, check_texts, content_room, flaw, refuse_truncated
from vitrail.tokenization.fast import FastRefused, fast_encode
from vitrail.tokenization.folder import TokenizerFiles, read_folder, write_folder
from vitrail.tokenization.template import Template, learn_template
from vitrail.tokenization.windows import most_covered, window_spans
from vitrail.tokenization.words import with_words

_ENCODED_AT_ONCE = 4096
"""Texts whose encodings stand in memory together; an `Encoding` takes about a hundred bytes a token."""


class Tokenizer:
    """Texts to packed ids, and one text to ids with character offsets. It never changes, so threads may share it.

    `max_length` is what the folder says the model takes, `runtime` what really runs. `vocab_size` counts added tokens.
    `kind` is how it finds pieces of words: WordPiece, BPE, Unigram or WordLevel.
    """

    def __init__(self, files: TokenizerFiles, *, fast: bool | None = None):
        self._files, self._fast = files, fast
        self._backend = files.backend
        self._single, self._pair = (learn_template(self._backend, pair=pair) for pair in (False, True))
        self._boundary = boundary_pattern(self._backend)
        self._encode: Encode = self._encode_plainly
        self.runtime = f"tokenizers {tokenizers.__version__}"
        if fast is not False:
            self._encode_fast(required=fast is True)
        self.kind = type(self._backend.model).__name__
        self.vocab_size: int = self._backend.get_vocab_size(with_added_tokens=True)
        self.padding_id = self._special_id("pad_token", "[PAD]", "<pad>")
        self.mask_id = self._special_id("mask_token", "[MASK]", "<mask>")
        self.unknown_id = self._special_id("unk_token", "[UNK]", "<unk>")
        self.max_length = files.max_length

    @classmethod
    def from_folder(cls, folder: Path, *, fast: bool | None = None, lowercase: bool = False) -> "Tokenizer":
        """Read `tokenizer.json`, or `vocab.txt`, or `vocab.json` with `merges.txt`; else `TokenizerError`.

        `fast`: None takes nanotoken where it is installed and gives the same ids, True requires it, False never.
        `lowercase` lowercases texts before anything else (`do_lower_case` of `sentence_bert_config.json`).
        """
        return cls(read_folder(folder, lowercase=lowercase), fast=fast)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._backend.to_str(), dict(self._files.special_tokens), self.max_length, self._fast)

    def save(self, folder: Path) -> None:
        """Write a folder that transformers' AutoTokenizer opens, with equal ids."""
        types = np.concatenate([*self._pair.piece_types, self._pair.text_types])
        write_folder(folder, self._files, token_types=bool(types.any()))

    def num_special(self, *, pair: bool = False) -> int:
        """Special tokens added around one text, or around a pair."""
        return (self._pair if pair else self._single).num_special

    @property
    def special_ids(self) -> frozenset[int]:
        """Of the special tokens that are put around texts."""
        return frozenset(id for each in (self._single, self._pair) for piece in each.pieces for id in piece.tolist())

    def token(self, id: int) -> str:
        """The text of one token of the vocabulary, without the marks of a word's beginning or middle."""
        return self._backend.decode([id], skip_special_tokens=False).removeprefix("##").strip()

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary, written as it stands there."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def normalized(self, text: str) -> str:
        """The text as it is before it is split: in lower case, say, where the model knows no other."""
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def with_words(self, words: Sequence[str]) -> "Tokenizer":
        """This tokenizer with each of `words` as one token more; texts without them have the ids they had."""
        return Tokenizer(with_words(self._files, words), fast=self._fast)

    @property
    def single_template(self) -> Template:
        """What stands before and behind a single text."""
        return self._single

    @property
    def pair_template(self) -> Template:
        """What stands before, between and behind the texts of a pair."""
        return self._pair

    def encode(
        self,
        texts: Sequence[str | tuple[str, str]],
        *,
        max_length: int | None,
        overlong: Overlong = "truncate",
        prompt: str = "",
        stride: int = 0,
    ) -> TokenBatch:
        """Tokenise texts, or pairs of texts, into one packed batch.

        A text of more than `max_length` tokens (special tokens and `prompt` counted) is cut, refused with
        `TextTooLong`, or covered by windows that overlap by `stride` tokens and all begin with the prompt. A pair is
        cut longest first, and has no windows. With `max_length=None` a text of any size is tokenised whole.
        """
        pairs = check_texts(texts)
        template = self._pair if pairs else self._single
        room = content_room(max_length, special=template.num_special, overlong=overlong, stride=stride, pairs=pairs)
        prompt_ids = self._prompt_ids(prompt, room)
        stated = self._prompt_tokens(prompt_ids) if prompt else 0
        heads = [prompt + (text if isinstance(text, str) else text[0]) for text in texts]
        if pairs:
            first, second = self._contents(heads, room), self._contents([text[1] for text in texts], room)
            batch = assemble_pairs(template, first, second, room=room, prompt_tokens=stated)
        elif overlong == "window" and room is not None:
            check_stride(stride, room - len(prompt_ids))
            limit = len(prompt_ids) + most_covered(size=room - len(prompt_ids), stride=stride)
            batch = assemble_windows(
                template,
                self._contents(heads, limit),
                room=room,
                stride=stride,
                repeated=len(prompt_ids),
                prompt_tokens=stated,
            )
        else:
            batch = assemble_texts(template, self._contents(heads, room), room=room, prompt_tokens=stated)
        if overlong == "error":
            refuse_truncated(batch.truncated, batch.input_tokens, max_length)
        return batch

    def tokens(
        self, texts: Sequence[str], *, max_length: int | None, overlong: Overlong = "truncate", stride: int = 0
    ) -> list[TokenizedText]:
        """Each text with the characters its tokens come from, under the same rules as `encode`.

        With windows a text keeps all its tokens, and `windows` says which of them each sequence of `encode` holds.
        """
        if check_texts(texts):
            raise TypeError("tokens() takes texts, not pairs of texts: give each text by itself")
        room = content_room(max_length, special=self.num_special(), overlong=overlong, stride=stride, pairs=False)
        limit = room
        if overlong == "window" and room is not None:
            check_stride(stride, room)
            limit = most_covered(size=room, stride=stride)
        contents = self._contents(texts, limit)
        if overlong == "error":
            too_long = contents.cut | (contents.lengths > (np.inf if room is None else room))
            refuse_truncated(too_long, contents.lengths + self.num_special(), max_length)
        encodings = self._backend.encode_batch(contents.beginnings, add_special_tokens=False)
        found = []
        for encoding, cut in zip(encodings, contents.cut, strict=True):
            kept = len(encoding) if limit is None else min(limit, len(encoding))
            windows = [(0, kept)] if room is None else window_spans(kept, size=room, stride=stride)
            found.append(self._placed(encoding, kept, windows, truncated=bool(cut) or kept < len(encoding)))
        return found

    def _placed(
        self, encoding: tokenizers.Encoding, kept: int, windows: list[tuple[int, int]], *, truncated: bool
    ) -> TokenizedText:
        before, after = self._single.pieces
        around = (len(before), len(after))
        return TokenizedText(
            ids=np.concatenate([before, np.array(encoding.ids[:kept], dtype=np.int64), after]),
            offsets=np.pad(np.array(encoding.offsets[:kept], dtype=np.int64).reshape(-1, 2), (around, (0, 0))),
            special=np.pad(np.zeros(kept, dtype=np.bool_), around, constant_values=True),
            words=np.pad(np.array(encoding.word_ids[:kept], dtype=np.int64), around, constant_values=-1),
            windows=windows,
            truncated=truncated,
        )

    def _contents(self, texts: Sequence[str], room: int | None) -> Contents:
        # One token more than is used tells whether anything was left over.
        limit = None if room is None else room + 1
        return encode_bounded(texts, encode=self._encode, limit=limit, boundary=self._boundary)

    def _encode_plainly(self, texts: Sequence[str]) -> tuple[Int64[np.ndarray, "tokens"], Int64[np.ndarray, "texts"]]:
        ids, lengths = [], []
        for start in range(0, len(texts), _ENCODED_AT_ONCE):
            some = self._backend.encode_batch_fast(texts[start : start + _ENCODED_AT_ONCE], add_special_tokens=False)
            lengths += [len(encoding) for encoding in some]
            ids.append(np.fromiter(chain.from_iterable(encoding.ids for encoding in some), dtype=np.int64))
        return np.concatenate([np.empty(0, dtype=np.int64), *ids]), np.array(lengths, dtype=np.int64)

    def _encode_fast(self, *, required: bool) -> None:
        try:
            self._encode, name = fast_encode(self._backend)
        except FastRefused as refusal:
            if required:
                raise TokenizerError(f"fast=True, but {refusal}. Pass fast=None to allow the fallback.") from None
            self.runtime += f" ({refusal})"
        else:
            self.runtime = f"{name} (ids) + {self.runtime}"

    def _prompt_ids(self, prompt: str, room: int | None) -> Int64[np.ndarray, "tokens"]:
        if not isinstance(prompt, str):
            raise TypeError(f"prompt is {type(prompt).__name__}, not str")
        if wrong := flaw(prompt):
            raise ValueError(f"the prompt {wrong}")
        if not prompt:
            return np.empty(0, dtype=np.int64)
        ids = self._encode([prompt])[0]
        if room is not None and len(ids) >= room:
            raise ValueError(
                f"the prompt has {len(ids)} tokens, but only {room} fit beside the special tokens. Shorten the prompt "
                "or raise max_length, so that some of the text is seen."
            )
        return ids

    def _prompt_tokens(self, prompt_ids: Int64[np.ndarray, "tokens"]) -> int:
        """The prompt with its special tokens, less a special token at its end: sentence-transformers counts so."""
        before, after = self._single.pieces
        ids = np.concatenate([before, prompt_ids, after])
        special = {self._backend.token_to_id(token) for token in self._files.special_tokens.values()}
        return len(ids) - int(ids.size > 0 and (after.size > 0 or int(ids[-1]) in special))

    def _special_id(self, role: str, *usual: str) -> int | None:
        names = (self._files.special_tokens[role],) if role in self._files.special_tokens else usual
        return next((found for name in names if (found := self._backend.token_to_id(name)) is not None), None)


def _restore(definition: str, special_tokens: dict[str, str], max_length: int | None, fast: bool | None) -> Tokenizer:
    backend = tokenizers.Tokenizer.from_str(definition)
    return Tokenizer(TokenizerFiles(backend=backend, special_tokens=special_tokens, max_length=max_length), fast=fast)
