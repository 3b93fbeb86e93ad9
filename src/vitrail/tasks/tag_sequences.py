"""The most probable sequence of tags, whole, among those that a scheme allows: constrained decoding.

Each word's most probable tag, word by word, may begin a span that nothing ends. Here a span is begun and ended or it is
not one: the sum of the words' log-probabilities is made as large as it can be over the sequences that break no rule,
by Viterbi's algorithm [Viterbi 1967], in words · labels² steps.

[Viterbi 1967]: https://doi.org/10.1109/TIT.1967.1054010
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int64

from vitrail.tasks.tags import CLOSING, OUTSIDE, follows, split_tag

_FAULT = 1e6
"""What breaking a rule costs: more than any probability can bring, so that rules are broken only where labels leave no
other way, and as seldom as they can be."""


def best_sequence(
    log_probabilities: Float[np.ndarray, "words labels"], labels: Sequence[str], *, scheme: str
) -> Int64[np.ndarray, "words"]:
    """The label of each word."""
    if not len(log_probabilities):
        return np.empty(0, dtype=np.int64)
    first, between, last = _costs(tuple(labels), scheme)
    best = log_probabilities[0] - first  # of all sequences that end here with each label
    came_from = []
    for word in log_probabilities[1:]:
        ways = best[:, None] - between
        came_from.append(ways.argmax(0))
        best = ways.max(0) + word
    path = [int((best - last).argmax())]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1], dtype=np.int64)


def refuse_partial(labels: Sequence[str], *, scheme: str) -> None:
    """ValueError where a label could stand in no sequence, for want of the one that begins or ends its span."""
    known = {split_tag(label) for label in labels}
    needed = {"I": "B", "E": "B", "B": "E" if scheme in CLOSING else "B"}
    for label in labels if scheme != "plain" else ():
        prefix, kind = split_tag(label)
        other = needed.get(prefix, prefix)
        if (other, kind) not in known:
            raise ValueError(
                f"constrained: in {scheme} the label {label} goes with {other}-{kind}, which these labels lack; "
                "leave constrained out"
            )


@lru_cache(maxsize=16)
def _costs(
    labels: tuple[str, ...], scheme: str
) -> tuple[Float[np.ndarray, "labels"], Float[np.ndarray, "labels labels"], Float[np.ndarray, "labels"]]:
    """(of beginning with a label, of one after another, of ending with it)."""
    cost = [
        [0.0 if follows(before, tag, scheme=scheme) else _FAULT for tag in (*labels, OUTSIDE)]
        for before in (*labels, OUTSIDE)
    ]
    table = np.array(cost)
    return table[-1, :-1], table[:-1, :-1], table[:-1, -1]
