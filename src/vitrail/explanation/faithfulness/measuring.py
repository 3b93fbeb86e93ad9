"""`explanation.score`: how far the methods can be trusted, on one model and on data of the user's own."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail.api import Encoder
from vitrail.errors import ExplanationError
from vitrail.explanation.explain import readings_for
from vitrail.explanation.faithfulness.judge import Judge
from vitrail.explanation.faithfulness.planted import planted_tokens
from vitrail.explanation.faithfulness.protocols import PROTOCOLS, Order, Protocol, order_of
from vitrail.explanation.faithfulness.scores import RANDOM, Measured, Scores, with_leads
from vitrail.explanation.methods import METHODS
from vitrail.explanation.methods.method import Method
from vitrail.explanation.targets import targets_of
from vitrail.intervals import bootstrap_mean
from vitrail.tracing import Reading

# Orders drawn for each input; their mean is the random row.
RANDOM_DRAWS = 5


def score(
    encoder: Encoder,
    data: Sequence[Any],
    methods: Sequence[str | Method] | None = None,
    protocols: Sequence[str] | None = None,
    *,
    seed: int = 0,
    progress: Any = None,
) -> Scores:
    """What each method is worth on these inputs, by each protocol, with intervals and a random row.

    data: inputs as `explain` takes them. Of a classifier also rows with the right `label` (else the prediction on the
        whole text stands for it), and with `planted`, the words a planted shortcut put there (planted.py).
    methods: keys of METHODS, or a `Method` of your own; None for all of METHODS.
    protocols: None for all; `necessity` is always measured. seed: of the random orders and the intervals.
    progress: called with (done, of all) after each input.

    A method that cannot explain this model (ExplanationError) is left out, with its reason in `Scores.left_out`.
    ValueError for an unknown name; ExplanationError where no input has two tokens to choose from.
    """
    chosen = _methods(methods)
    judged_by = _protocols(protocols)
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    left_out: dict[str, str] = {}
    generator = np.random.default_rng(seed)
    used = 0
    for done, (row, reading) in enumerate(
        zip(data, readings_for(encoder, [_bare(each) for each in data]), strict=True)
    ):
        judge = _judge(encoder, row, reading)
        if len(judge.words) > 1:
            used += 1
            orders = {name: [order_of(each, judge)] for name, each in _explained(judge, chosen, left_out)}
            orders[RANDOM] = [generator.permutation(judge.words) for _ in range(RANDOM_DRAWS)]
            for protocol in judged_by:
                for (method, measure), value in _judged(judge, protocol, orders):
                    found[protocol.name, measure][method][done] = value
        if progress is not None:
            progress(done + 1, len(data))
    if not used:
        raise ExplanationError("no input has two tokens to choose from; give longer texts")
    measured: list[Measured] = []
    for protocol in judged_by:
        for measure, better in protocol.measures.items():
            of_methods = found[protocol.name, measure]
            figures = [
                Measured(
                    method=method,
                    protocol=protocol.name,
                    measure=measure,
                    more_is_better=better,
                    values=bootstrap_mean(list(of_methods[method].values()), seed=seed),
                    rows=len(of_methods[method]),
                )
                for method in (*chosen, RANDOM)
                if method in of_methods
            ]
            measured += with_leads(figures, of_methods, seed=seed) if figures else []
    place = {method: number for number, method in enumerate((*chosen, RANDOM))}
    return Scores(
        model=encoder.name or "an encoder",
        weights_sha256=encoder.weights_sha256,
        rows=used,
        measured=tuple(sorted(measured, key=lambda each: place[each.method])),
        left_out=left_out,
    )


def _methods(given: Sequence[str | Method] | None) -> dict[str, Method]:
    """By name; random orders are always measured, and drawn here."""
    own = {each.name: each for each in given or () if isinstance(each, Method)}
    if taken := own.keys() & METHODS.keys():
        raise ValueError(f"a method of your own is called {', '.join(taken)}, as one of vitrail's is; rename it")
    names = None if given is None else [each.name if isinstance(each, Method) else each for each in given]
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"methods are named more than once: {', '.join(names)}; name each once")
    known = {**METHODS, **own}
    return {name: known[name] for name in _known(names, known, "method") if name != RANDOM}


def _known(names: Sequence[str] | None, table: Mapping[str, Any], what: str) -> list[str]:
    for name in names or ():
        if name not in table:
            raise ValueError(f"{what} {name!r}: choose among {', '.join(table)}")
    return list(table if names is None else names)


def _protocols(names: Sequence[str] | None) -> list[Protocol]:
    """Those asked for, and necessity."""
    return [PROTOCOLS[name] for name in dict.fromkeys([*_known(names, PROTOCOLS, "protocol"), "necessity"])]


def _bare(row: Any) -> Any:
    """An input without what only the judgement needs."""
    return {key: row[key] for key in row if key not in ("label", "planted")} if isinstance(row, Mapping) else row


def _judge(encoder: Encoder, row: Any, reading: Reading) -> Judge:
    label = row.get("label") if isinstance(row, Mapping) else None
    if label is not None:
        labels = encoder.need_task().labels
        if label not in labels:
            raise ValueError(f"label {label!r} is none of the model's: {', '.join(labels[:20])}")
        label = labels.index(label)
    planted = planted_tokens(reading, row.get("planted", ())) if isinstance(row, Mapping) else frozenset()
    return Judge(encoder, reading, targets_of(encoder, reading), label=label, planted=planted)


def _explained(
    judge: Judge, methods: Mapping[str, Method], left_out: dict[str, str]
) -> Iterator[tuple[str, Float[np.ndarray, " tokens"]]]:
    for name, method in methods.items():
        if name not in left_out:
            try:
                found = method.attribute(judge.encoder, judge.reading, judge.target)
            except ExplanationError as error:
                left_out[name] = str(error)
            else:
                yield name, found.tokens


def _judged(
    judge: Judge, protocol: Protocol, orders: Mapping[str, Sequence[Order]]
) -> Iterator[tuple[tuple[str, str], float]]:
    """((method, measure), value); of a method with several orders the mean."""
    if not protocol.fits(judge):
        return
    judge.ask((form for some in orders.values() for order in some for form in protocol.forms(order)), protocol.how)
    for method, some in orders.items():
        values = [protocol.judged(judge, order) for order in some]
        for measure in protocol.measures:
            yield (method, measure), float(np.mean([each[measure] for each in values]))
