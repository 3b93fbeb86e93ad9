"""How alike two vectors are, by the measure a model was trained for. Larger is more alike in all of them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating]


def dot(a: Vectors, b: Vectors) -> Vectors:
    """a · b"""
    return a @ b.T


def cosine(a: Vectors, b: Vectors) -> Vectors:
    """a · b / (‖a‖ ‖b‖); a zero vector is like nothing: 0."""
    return dot(_unit(a), _unit(b))


def euclidean(a: Vectors, b: Vectors) -> Vectors:
    """−‖a − b‖, through ‖a‖² + ‖b‖² − 2 a · b in float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * x @ y.T
    return (-np.sqrt(np.maximum(squared, 0))).astype(a.dtype)


def manhattan(a: Vectors, b: Vectors) -> Vectors:
    """−Σ |aᵢ − bᵢ|, row by row: the difference of all pairs would not fit in memory."""
    return np.stack([-np.abs(row - b).sum(1) for row in a]) if len(a) else np.zeros((0, len(b)), a.dtype)


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


SIMILARITIES: dict[str, Callable[[Vectors, Vectors], Vectors]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "manhattan": manhattan,
}
