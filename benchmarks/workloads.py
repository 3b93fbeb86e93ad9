"""What is embedded: a model's folder and a file of texts with their lengths, made once and given to every contestant by
path, so that all read the same bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models
from benchmarks.texts import common_words, docstrings, long_texts, short_texts, skewed_texts

KINDS = {
    "skewed": "docstrings and abstracts, up to 256 tokens",
    "short": "12 tokens each",
    "long": "512 tokens each",
    "longest": "8,192 tokens each",
}
MAX_LENGTHS = {"skewed": 256, "short": 256, "long": 512, "longest": 8192}

# How many texts: all distinct, never a part of a set, since a part pads more. Smaller sets for slower models.
COUNTS = {
    ("minilm", "skewed"): 2000,
    ("minilm", "short"): 2000,
    ("minilm", "long"): 60,
    ("bge-small", "skewed"): 500,
    ("bge-small", "short"): 1000,
    ("bge-small", "long"): 30,
    ("bert-base", "skewed"): 200,
    ("bert-base", "short"): 300,
    ("bert-base", "long"): 8,
    ("modernbert-base", "skewed"): 100,
    ("modernbert-base", "longest"): 2,
}
CALIBRATION_TEXTS = 300
STREAMED_TEXTS = (10_000, 200_000)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """lengths: tokens of each text after cutting, padding not counted. operations: of all products over all texts."""

    model: str
    kind: str
    folder: Path
    texts: Path
    lengths: list[int]
    operations: int

    @property
    def max_length(self) -> int:
        return MAX_LENGTHS[self.kind]

    @property
    def family(self) -> str:
        return models.SHAPES[self.model].family


def make(model: str, kind: str, *, work: Path, data: Path | None, count: int | None = None) -> Workload:
    """The workload's files under `work`. count: other than `COUNTS` says, for what is not throughput."""
    folder = model_folder(model, work)
    texts = texts_of(kind, count or COUNTS[model, kind], folder, data)
    file = work / f"{model}-{kind}-{len(texts)}.json"
    file.write_text(json.dumps(texts), encoding="utf-8")
    lengths = _lengths(folder, texts, MAX_LENGTHS[kind])
    return Workload(
        model=model,
        kind=kind,
        folder=folder,
        texts=file,
        lengths=lengths,
        operations=models.operations(folder, lengths),
    )


def streams(work: Path, data: Path | None) -> list[tuple[int, Path]]:
    """Files of short texts, one per line: their numbers and paths."""
    folder = model_folder("minilm", work)
    files = []
    for count in STREAMED_TEXTS:
        file = work / f"stream-{count}.txt"
        file.write_text("".join(f"{text}\n" for text in texts_of("short", count, folder, data)), encoding="utf-8")
        files.append((count, file))
    return files


def model_folder(model: str, work: Path) -> Path:
    folder = work / "models" / model
    models.make(model, folder)
    return folder


def texts_of(kind: str, count: int, folder: Path, data: Path | None) -> list[str]:
    if kind == "skewed":
        return skewed_texts(count, data=data)
    if kind == "short":
        words = common_words()
        lengths = _lengths(folder, words, 16)
        return short_texts(count, [word for word, length in zip(words, lengths, strict=True) if length == 3])
    return long_texts(count, characters=8 * MAX_LENGTHS[kind])


def calibration(work: Path, data: Path | None) -> Path:
    """Texts for the rivals that calibrate their scales: of the same origin as the skewed ones, none of them."""
    measured = set(skewed_texts(COUNTS["minilm", "skewed"], data=data))
    others = [text for text in docstrings() if text not in measured]
    file = work / "calibration.json"
    file.write_text(json.dumps(others[:: len(others) // CALIBRATION_TEXTS][:CALIBRATION_TEXTS]), encoding="utf-8")
    return file


def _lengths(folder: Path, texts: list[str], max_length: int) -> list[int]:
    from vitrail import load

    return load(folder).tokenizer.encode(texts, max_length=max_length).used_tokens.tolist()
