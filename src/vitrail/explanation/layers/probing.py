"""What can be read off each layer, and how much of that is the probe's own doing ([Hewitt 2019]).

A probe is a logistic regression on frozen hidden states. Beside its accuracy stands that on a control task: every word
type is given a label at random, in the proportions of the real ones, the same wherever it stands. What the probe
learns there it has learnt by heart, so selectivity = accuracy − control accuracy. Of labels of whole texts, no two of
which are alike, nothing can be learnt by heart: there the control is what chance gives.

[Hewitt 2019]: https://arxiv.org/abs/1909.03368
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from vitrail.api import Encoder
from vitrail.api.readings import readings_of
from vitrail.errors import ExplanationError
from vitrail.explanation.layers.similarity import layer_names
from vitrail.explanation.layers.tables import table
from vitrail.intervals import Interval, bootstrap_mean
from vitrail.tracing import run, still

TEST_SHARE = 0.3
LEAST_TEXTS = 10
MOST_ITERATIONS = 500
MOST_BYTES = 4 * 2**30


@dataclass(frozen=True, kw_only=True)
class LayerProbe:
    """Of one layer, on the texts set aside: the probe's accuracy, the control's, and their difference."""

    layer: str
    accuracy: Interval
    control: Interval
    selectivity: Interval


@dataclass(frozen=True, kw_only=True)
class Probe:
    """unit: "text" or "word". majority: the accuracy of always saying the most frequent label. tested: on how many."""

    layers: tuple[LayerProbe, ...]
    unit: str
    majority: float
    tested: int

    def table(self) -> str:
        rows = [[each.layer, str(each.accuracy), str(each.control), str(each.selectivity)] for each in self.layers]
        shown = table(["layer", "accuracy", "control", "selectivity"], rows)
        return f"{shown}\n{self.tested:,} {self.unit}s set aside; the most frequent label alone {self.majority:.3f}"

    def picture(self, path: str | Path) -> Path:
        """PNG, SVG or PDF, by the suffix: the accuracies of every layer, and their difference, with its intervals."""
        from vitrail.pictures.by_layer import draw_by_layer

        def line(name: str) -> list[Interval]:
            return [getattr(each, name) for each in self.layers]

        return draw_by_layer(
            Path(path),
            [each.layer for each in self.layers],
            {
                "accuracy": {"probe": line("accuracy"), "control": line("control")},
                "selectivity": {"probe − control": line("selectivity")},
            },
            levels={"accuracy": ("most frequent label", self.majority), "selectivity": ("all learnt by heart", 0.0)},
            said=f"{self.tested:,} {self.unit}s set aside; bands: 95 % intervals over texts",
        )


def probe(encoder: Encoder, texts: Sequence[str], labels: Sequence[Any] | np.ndarray, *, seed: int = 0) -> Probe:
    """Probes of every layer.

    labels: one for each text (then the mean of its tokens is read), or a list of labels for each text, one for every
        word as the tokenizer splits it (`encoder.trace(text).words`; then the mean of the word's tokens is read).
    seed: of the texts set aside (TEST_SHARE of them; words of one text stay together), of the control, of the
        intervals. ValueError where the labels do not fit the texts; ExplanationError for too few of them, or so many
        that the states of all layers, which are kept, would take more than MOST_BYTES.
    """
    if len(labels) != len(texts):
        raise ValueError(f"{len(labels)} labels for {len(texts)} texts; give one for each, or a list for each")
    if len(texts) < LEAST_TEXTS:
        raise ExplanationError(f"{len(texts)} texts are too few to set some aside; give {LEAST_TEXTS} or more")
    by_word = isinstance(labels[0], list | tuple) or (isinstance(labels[0], np.ndarray) and labels[0].ndim > 0)
    generator = np.random.default_rng(seed)
    tests = np.zeros(len(texts), dtype=np.bool_)
    tests[generator.permutation(len(texts))[: max(1, round(TEST_SHARE * len(texts)))]] = True
    values = _room(encoder, sum(map(len, labels)) if by_word else len(texts), "word" if by_word else "text")
    golds, types, rows = [], [], []
    for place, (row, state, gold, kind) in enumerate(_units(encoder, texts, labels, by_word)):
        values[:, place] = state
        golds.append(str(gold))
        types.append(kind)
        rows.append(row)
    gold, test = np.array(golds), tests[rows]
    texts_tested = np.array(rows)[test]
    if len(set(gold[~test])) < 2:
        raise ExplanationError("the texts that are not set aside have one label only; give more, or another seed")
    drawn = {kind: generator.choice(gold) for kind in dict.fromkeys(types)}
    control = np.array([drawn[kind] for kind in types])
    most = max(set(gold[~test]), key=list(gold[~test]).count)
    return Probe(
        layers=tuple(
            _probed(name, value, gold, control, test, texts_tested, seed)
            for name, value in zip(layer_names(encoder), values[:, : len(golds)], strict=True)
        ),
        unit="word" if by_word else "text",
        majority=float((gold[test] == most).mean()),
        tested=int(test.sum()),
    )


def _room(encoder: Encoder, count: int, unit: str) -> Float[np.ndarray, "layers units hidden"]:
    """For the states of all units; ExplanationError, before the first is computed, where they are too many."""
    shape = len(layer_names(encoder)), count, encoder.spec.hidden_size
    one = shape[0] * shape[2] * np.dtype(np.float32).itemsize
    if one * count > MOST_BYTES:
        raise ExplanationError(
            f"the states of {count:,} {unit}s in {shape[0]} layers take {one * count / 2**20:,.0f} MiB, more than the "
            f"{MOST_BYTES / 2**20:,.0f} that a probe may; give at most {MOST_BYTES // one:,} {unit}s"
        )
    return np.empty(shape, dtype=np.float32)


def _units(
    encoder: Encoder, texts: Sequence[str], labels: Sequence[Any] | np.ndarray, by_word: bool
) -> Iterator[tuple[int, Float[np.ndarray, "layers hidden"], Any, str]]:
    """(row, its state in every layer, its label, its type) of every text, or word."""
    for row, (reading, own) in enumerate(zip(readings_of(encoder, list(texts)), labels, strict=True)):
        with still(encoder):
            points = run(encoder, [reading], read=layer_names(encoder)).points
        states = np.stack([value.float().cpu().numpy() for value in points.values()])
        if not by_word:
            kept = np.flatnonzero(~reading.special)
            yield row, states[:, kept].mean(1) if len(kept) else states[:, 0], own, texts[row]
            continue
        if len(own) != len(reading.words) and not reading.truncated:
            words = " ".join(word.text for word in reading.words)
            raise ValueError(f"text {row} has {len(reading.words)} words ({words:.60}) and {len(own)} labels")
        for word, label in zip(reading.words, own, strict=False):
            yield row, states[:, list(word.tokens)].mean(1), label, word.text.casefold()


def _probed(
    name: str,
    states: Float[np.ndarray, "units hidden"],
    gold: np.ndarray,
    control: np.ndarray,
    test: Bool[np.ndarray, " units"],
    texts: Int64[np.ndarray, " tested"],
    seed: int,
) -> LayerProbe:
    right, by_heart = (_right(states, labels, test) for labels in (gold, control))
    return LayerProbe(
        layer=name,
        accuracy=bootstrap_mean(right.tolist(), texts=texts.tolist(), seed=seed),
        control=bootstrap_mean(by_heart.tolist(), texts=texts.tolist(), seed=seed),
        selectivity=bootstrap_mean((right - by_heart).tolist(), texts=texts.tolist(), seed=seed),
    )


def _right(
    states: Float[np.ndarray, "units hidden"], labels: np.ndarray, test: Bool[np.ndarray, " units"]
) -> Float[np.ndarray, " tested"]:
    """1 for each unit set aside whose label the probe finds, 0 for the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(labels[~test])) < 2:
        return (labels[test] == labels[~test][0]).astype(float)
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS))
    return (found.fit(states[~test], labels[~test]).predict(states[test]) == labels[test]).astype(float)
