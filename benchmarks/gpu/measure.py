"""The command: measure on one device, a JSON line each, and write the page's section anew.

    python -m benchmarks gpu [--only forward,texts,training,cosine] [--shapes minilm,…] [--model FOLDER]

Lines are appended to benchmarks/results/gpu.jsonl. Shares are of the bfloat16 product measured in the same run.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu import ours, plain_image, rivals, section, shapes, timing

Result = dict[str, Any]
MEASUREMENTS = ("forward", "texts", "training", "cosine")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """sequences: of the forward pass. settings: batch sizes of rivals; the fastest is their best."""

    peak: int
    sequences: int
    texts: int
    training_sequences: int
    longest: int
    vocab_size: int
    settings: tuple[int, ...]
    rounds: int


FULL = Sizes(
    peak=8192,
    sequences=8192,
    texts=16384,
    training_sequences=256,
    longest=512,
    vocab_size=30522,
    settings=(32, 64, 128, 256, 512),
    rounds=5,
)
TOY = Sizes(
    peak=64, sequences=12, texts=12, training_sequences=6, longest=40, vocab_size=200, settings=(4, 8), rounds=2
)


def main(arguments: list[str]) -> None:
    plain_image.make_importable()
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for result in Measuring(options, Path(folder)).results():
            line = json.dumps(result)
            print(line, flush=True)
            if not options.toy:
                section.RESULTS.parent.mkdir(exist_ok=True)
                with section.RESULTS.open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
    if not options.toy:
        section.write()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="a tiny size that only shows that all runs; nothing is kept")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help=", ".join(MEASUREMENTS))
    parser.add_argument("--shapes", default=",".join(shapes.SHAPES), help=", ".join(shapes.SHAPES))
    parser.add_argument("--model", type=Path, default=None, help="measure the model in this folder instead")
    options = parser.parse_args(arguments)
    options.only, options.shapes = options.only.split(","), options.shapes.split(",")
    for given, known in ((options.only, MEASUREMENTS), (options.shapes, tuple(shapes.SHAPES))):
        if unknown := set(given) - set(known):
            parser.error(f"{', '.join(sorted(unknown))}: choose among {', '.join(known)}")
    if torch.device(options.device).type == "cpu" and not options.toy:
        parser.error("the figures are a GPU's; on the CPU only --toy runs")
    return options


class Measuring:
    """One run. Everything is measured in one process, ours and rivals' in turn, on a device that does nothing else."""

    def __init__(self, options: argparse.Namespace, work: Path):
        self.options, self.work = options, work
        self.device = torch.device(options.device)
        self.sizes = TOY if options.toy else FULL
        self.texts = shapes.skewed_texts(self.sizes.texts)
        self.stamp = {"run": datetime.now(UTC).isoformat(timespec="seconds"), "machine": timing.machine(self.device)}

    def results(self) -> Iterator[Result]:
        self.peak = timing.matrix_peak(self.device, size=self.sizes.peak, rounds=20)
        yield {**self.stamp, "measurement": "peak", "operations_per_second": self.peak, "size": self.sizes.peak}
        for name, label, folder in self._models():
            for measurement in self.options.only:
                for result in getattr(self, f"_{measurement}")(folder):
                    yield {**self.stamp, "measurement": measurement, "shape": name, "label": label, **result}

    def _models(self) -> Iterator[tuple[str, str, Path]]:
        if self.options.model is not None:
            yield self.options.model.name, self.options.model.name, self.options.model
            return
        chosen = shapes.TOY if self.options.toy else {name: shapes.SHAPES[name] for name in self.options.shapes}
        corpus = self.texts if self.options.toy else shapes.texts.docstrings()
        for name, shape in chosen.items():
            folder = self.work / name
            shapes.make_folder(shape, folder, vocab_size=self.sizes.vocab_size, corpus=corpus)
            yield name, shape.label, folder

    def _forward(self, folder: Path) -> Iterator[Result]:
        encoder = ours.load(folder, self.device, "bfloat16")
        lengths = shapes.skewed_lengths(self.sizes.sequences, longest=self.sizes.longest)
        ids, work = _drawn(encoder, lengths), shapes.operations(encoder.spec, lengths)
        found = self._time(ours.forward(encoder, ids, lengths))
        yield {**_who("vitrail", **ours.describe(encoder)), **rates(found, lengths, work, self.peak)}
        del encoder
        for size in self.sizes.settings:
            who = _who("transformers", precision="bfloat16", batch_size=size)
            make = partial(rivals.forward, folder, self.device, ids, lengths, batch_size=size)
            yield {**who, **self._rival(make, lengths, work)}

    def _texts(self, folder: Path) -> Iterator[Result]:
        for precision in ("bfloat16", "float32"):
            encoder = ours.load(folder, self.device, precision)
            batch = encoder.need_tokenizer().encode(self.texts, max_length=encoder.max_length)
            lengths = np.diff(batch.boundaries)
            work = shapes.operations(encoder.spec, lengths)
            alone = self._time(ours.forward(encoder, batch.ids, lengths))
            found = self._time(ours.embed(encoder, self.texts))
            share = statistics.median(alone) / statistics.median(found)
            described = _who("vitrail", **ours.describe(encoder), share_of_forward=share)
            yield {**described, **rates(found, lengths, work, self.peak)}
            del encoder
        # the first is its default
        for precision, size in [("float32", 32), *(("bfloat16", size) for size in self.sizes.settings)]:
            who = _who("sentence-transformers", precision=precision, batch_size=size)
            make = partial(rivals.embed, folder, self.device, self.texts, precision=precision, batch_size=size)
            yield {**who, **self._rival(make, lengths, work)}

    def _training(self, folder: Path) -> Iterator[Result]:
        encoder = ours.load(folder, self.device, "float32")
        lengths = shapes.skewed_lengths(self.sizes.training_sequences, longest=self.sizes.longest)
        # the backward pass has twice the products of the forward pass
        ids, work = _drawn(encoder, lengths), 3 * shapes.operations(encoder.spec, lengths)
        found = self._time(ours.training_step(encoder, ids, lengths))
        who = _who("vitrail", precision="bfloat16 autocast", kernel=encoder.model.kernel_name)
        yield {**who, **rates(found, lengths, work, self.peak)}
        del encoder
        for size in (each for each in self.sizes.settings if each <= len(lengths)):
            who = _who("transformers", precision="bfloat16 autocast", batch_size=size)
            make = partial(rivals.training_step, folder, self.device, ids, lengths, batch_size=size)
            yield {**who, **self._rival(make, lengths, work)}

    def _cosine(self, folder: Path) -> Iterator[Result]:
        some = self.texts[:2000]
        full = ours.embed(ours.load(folder, self.device, "float32"), some)()
        for precision in ("bfloat16", "float16"):
            vectors = ours.embed(ours.load(folder, self.device, precision), some)()
            yield {**_who("vitrail", precision=precision), **cosines(vectors, full)}

    def _time(self, call: Callable[[], object]) -> list[float]:
        return timing.seconds(call, self.device, rounds=self.sizes.rounds)

    def _rival(self, make: Callable[[], Callable[[], object]], lengths: np.ndarray, work: int) -> Result:
        """A rival has the whole memory: what the one before kept is given back first. One that lacks it is said."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            return rates(self._time(make()), lengths, work, self.peak)
        except torch.OutOfMemoryError:
            return {"failed": "out of memory"}


def rates(seconds: list[float], lengths: np.ndarray, operations: int, peak: float) -> Result:
    """What the median round comes to. Tokens are those of the texts, padding not counted."""
    median = statistics.median(seconds)
    return {
        "seconds": seconds,
        "sequences": len(lengths),
        "tokens": int(lengths.sum()),
        "sequences_per_second": len(lengths) / median,
        "tokens_per_second": int(lengths.sum()) / median,
        "share_of_peak": operations / median / peak,
    }


def cosines(vectors: np.ndarray, wanted: np.ndarray) -> Result:
    found = (vectors * wanted).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted, axis=1)
    return {"cosine_mean": float(found.mean()), "cosine_min": float(found.min())}


def _who(contestant: str, **described: object) -> Result:
    return {"contestant": contestant, **described}


def _drawn(encoder: Any, lengths: np.ndarray) -> np.ndarray:
    """Ids at random, none of them a special token's."""
    return np.random.default_rng(0).integers(5, encoder.spec.vocab_size, int(lengths.sum()))


if __name__ == "__main__":
    main(sys.argv[1:])
