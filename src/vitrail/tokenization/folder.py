"""A tokenizer's files, read and written: what a published folder says, as one `tokenizers` object.

The idea: `tokenizer.json` is the whole truth when it is there. Older folders hold only a vocabulary; the rest is then
BERT's recipe (`vocab.txt`) or RoBERTa's (`vocab.json` and `merges.txt`), with the options of `tokenizer_config.json`.
Those options also win over `tokenizer.json` where the folder names a tokenizer class that would apply them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, WordPiece

from vitrail.errors import TokenizerError

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LONGEST_CREDIBLE = 1_000_000
"""`model_max_length` above this (1e30 is common) means that nobody set it."""

_SENTENCEPIECE = ("spm.model", "sentencepiece.bpe.model", "spiece.model")
_AS_WRITTEN = ("PreTrainedTokenizerFast", "TokenizersBackend")
_BERT = {name: f"[{name[:-6].upper()}]" for name in SPECIAL_NAMES[2:]}
_ROBERTA = dict(zip(SPECIAL_NAMES, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """The tokenizer of a folder, its special tokens by role (`pad_token`: `[PAD]`), and the length it is meant for."""

    backend: Backend
    special_tokens: Mapping[str, str]
    max_length: int | None


def read_folder(folder: Path, *, lowercase: bool) -> TokenizerFiles:
    """Read whichever files are there. `lowercase` puts a lowercasing step before everything else."""
    config = _read_json(folder / "tokenizer_config.json")
    if config.get("truncation_side", "right") != "right":
        raise TokenizerError(
            f"{folder} cuts texts on the {config['truncation_side']} (truncation_side in tokenizer_config.json), which "
            'is not supported. Set it to "right" if the model may see the beginning of a text instead of its end.'
        )
    declared = _read_json(folder / "special_tokens_map.json") | config
    named = {name: token for name in SPECIAL_NAMES if (token := _as_token(declared.get(name))) is not None}
    if (folder / "tokenizer.json").is_file():
        backend = _from_definition(folder / "tokenizer.json")
        if config.get("tokenizer_class") not in _AS_WRITTEN:
            _apply_options(backend, config)
    elif (folder / "vocab.txt").is_file():
        backend, named = _word_piece(folder / "vocab.txt", config, named)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        backend, named = _byte_level(folder, config, named)
    else:
        raise _nothing_usable(folder)
    backend.no_padding()
    backend.no_truncation()
    _add_missing(backend, [*_declared_tokens(config), *named.values()])
    if lowercase and not _lowercases(backend.normalizer):
        steps = [normalizers.Lowercase(), *([backend.normalizer] if backend.normalizer else [])]
        backend.normalizer = normalizers.Sequence(steps)
    length = config.get("model_max_length")
    return TokenizerFiles(
        backend=backend,
        special_tokens={name: token.content for name, token in named.items()},
        max_length=int(length) if length is not None and length <= LONGEST_CREDIBLE else None,
    )


def write_folder(folder: Path, files: TokenizerFiles, *, token_types: bool) -> None:
    """Write the three files with which transformers gives the same ids: it is told to take tokenizer.json as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {token.content: token for token in files.backend.get_added_tokens_decoder().values()}
    special = {name: _as_json(known.get(text, AddedToken(text))) for name, text in files.special_tokens.items()}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"],
        **{name: {"__type": "AddedToken", **token} for name, token in special.items()},
    }
    if files.max_length is not None:
        config["model_max_length"] = files.max_length
    files.backend.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", special)


def _from_definition(path: Path) -> Backend:
    try:
        return Backend.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise TokenizerError(f"{path} is not a tokenizer definition ({error}). Download it again.") from error


def _apply_options(backend: Backend, config: Mapping[str, Any]) -> None:
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        backend.normalizer = normalizers.BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=config.get("tokenize_chinese_chars", normalizer.handle_chinese_chars),
            strip_accents=config.get("strip_accents", normalizer.strip_accents),
            lowercase=config.get("do_lower_case", normalizer.lowercase),
        )
    splitter = backend.pre_tokenizer
    if isinstance(splitter, pre_tokenizers.ByteLevel) and "add_prefix_space" in config:
        splitter.add_prefix_space = config["add_prefix_space"]


def _word_piece(
    path: Path, config: Mapping[str, Any], named: Mapping[str, AddedToken]
) -> tuple[Backend, dict[str, AddedToken]]:
    # Not splitlines(): a vocabulary may hold U+2028 and other characters that Python takes for line ends.
    with path.open(encoding="utf-8") as lines:
        vocabulary = {line.rstrip("\n"): number for number, line in enumerate(lines)}
    as_mpnet = _BERT["cls_token"] not in vocabulary and _ROBERTA["cls_token"] in vocabulary
    defaults = {**_ROBERTA, "unk_token": _BERT["unk_token"]} if as_mpnet else _BERT
    named = {name: AddedToken(text, special=True, normalized=False) for name, text in defaults.items()} | dict(named)
    classify, separate = (_known(named[name], vocabulary, path) for name in ("cls_token", "sep_token"))
    _known(named["unk_token"], vocabulary, path)
    backend = Backend(WordPiece(vocabulary, unk_token=named["unk_token"].content))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    if as_mpnet:
        backend.post_processor = processors.RobertaProcessing(separate, classify, True, False)
    else:
        backend.post_processor = processors.BertProcessing(separate, classify)
    return backend, named


def _byte_level(
    folder: Path, config: Mapping[str, Any], named: Mapping[str, AddedToken]
) -> tuple[Backend, dict[str, AddedToken]]:
    path = folder / "vocab.json"
    vocabulary = _read_json(path)
    named = {name: AddedToken(text, special=True, normalized=False) for name, text in _ROBERTA.items()} | dict(named)
    classify, separate = (_known(named[name], vocabulary, path) for name in ("cls_token", "sep_token"))
    prefix_space = config.get("add_prefix_space", False)
    try:
        backend = Backend(BPE.from_file(str(path), str(folder / "merges.txt")))
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise TokenizerError(f"vocab.json and merges.txt of {folder} do not fit together ({error}).") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(
        separate, classify, config.get("trim_offsets", True), prefix_space
    )
    return backend, named


def _known(token: AddedToken, vocabulary: Mapping[str, int], path: Path) -> tuple[str, int]:
    if token.content not in vocabulary:
        raise TokenizerError(
            f"{path} has no {token.content!r}, which the template needs. Name the special tokens in "
            "tokenizer_config.json, or convert the tokenizer to tokenizer.json."
        )
    return token.content, vocabulary[token.content]


def _add_missing(backend: Backend, tokens: list[AddedToken]) -> None:
    """A special token that is only a word of the vocabulary is split when written in a text: make it one piece."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in tokens:
        if token.content not in known and backend.token_to_id(token.content) is not None:
            backend.add_special_tokens([token])


def _declared_tokens(config: Mapping[str, Any]) -> list[AddedToken]:
    decoder = config.get("added_tokens_decoder") or {}
    return [token for key in sorted(decoder, key=int) if (token := _as_token(decoder[key])) is not None]


def _as_token(value: Any) -> AddedToken | None:
    if isinstance(value, str):
        return AddedToken(value, special=True, normalized=False)
    if isinstance(value, Mapping):
        flags = {name: bool(value.get(name, False)) for name in ("lstrip", "rstrip", "single_word", "normalized")}
        return AddedToken(str(value["content"]), special=True, **flags)
    return None


def _as_json(token: AddedToken) -> dict[str, Any]:
    names = ("content", "lstrip", "rstrip", "single_word", "normalized", "special")
    return {name: getattr(token, name) for name in names}


def _lowercases(normalizer: Any) -> bool:
    if isinstance(normalizer, normalizers.Sequence):
        return any(_lowercases(normalizer[place]) for place in range(len(normalizer)))
    if isinstance(normalizer, normalizers.BertNormalizer):
        return bool(normalizer.lowercase)
    return isinstance(normalizer, normalizers.Lowercase)


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON ({error}). Download it again.") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} holds a {type(content).__name__}, not an object. Download it again.")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _nothing_usable(folder: Path) -> TokenizerError:
    found = [name for name in _SENTENCEPIECE if (folder / name).is_file()]
    if found:
        return TokenizerError(
            f"{folder} has its tokenizer only as {found[0]} (SentencePiece). Convert it once, where transformers and "
            f"sentencepiece are installed: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained("
            f"{str(folder)!r}) writes the tokenizer.json that is read here."
        )
    return TokenizerError(
        f"{folder} has no tokenizer: expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt. "
        "Copy them from where the model was published."
    )
