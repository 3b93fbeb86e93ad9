"""How good predictions are, from counts and ranks. Everything here is better when it is higher."""

import numpy as np
from jaxtyping import Bool, Float, Int64

Labels = Int64[np.ndarray, " rows"]
Numbers = Float[np.ndarray, " rows"]


def accuracy(found: Labels, wanted: Labels) -> float:
    return float((found == wanted).mean()) if len(wanted) else 0.0


def macro_f1(found: Labels, wanted: Labels) -> float:
    """The mean of F1 over the labels that occur, found or wanted."""
    present = np.union1d(found, wanted)
    hits = [float(((found == label) & (wanted == label)).sum()) for label in present]
    sizes = [float((found == label).sum() + (wanted == label).sum()) for label in present]
    return float(np.mean([2 * hit / size for hit, size in zip(hits, sizes, strict=True)])) if len(present) else 0.0


def matthews(found: Labels, wanted: Labels) -> float:
    """Matthews' correlation coefficient for any number of labels ([Gorodkin 2004]); 0 where one side is constant.

    (c s − Σ pₖ tₖ) / √((s² − Σ pₖ²)(s² − Σ tₖ²)), with c hits among s rows, label k found pₖ and wanted tₖ times.

    [Gorodkin 2004]: https://doi.org/10.1016/j.compbiolchem.2004.09.006
    """
    size = int(max(found.max(initial=0), wanted.max(initial=0))) + 1
    p = np.bincount(found, minlength=size).astype(np.float64)
    t = np.bincount(wanted, minlength=size).astype(np.float64)
    rows, hits = float(len(wanted)), float((found == wanted).sum())
    below = (rows**2 - p @ p) * (rows**2 - t @ t)
    return float((hits * rows - p @ t) / np.sqrt(below)) if below > 0 else 0.0


def multi_label_f1(
    found: Bool[np.ndarray, "rows labels"], wanted: Bool[np.ndarray, "rows labels"]
) -> tuple[float, float]:
    """(micro, macro) F1; a label that is neither found nor wanted counts 0 in the macro mean, as in scikit-learn."""
    hits = (found & wanted).sum(0).astype(np.float64)
    sizes = (found.sum(0) + wanted.sum(0)).astype(np.float64)
    micro = 2 * hits.sum() / sizes.sum() if sizes.sum() else 0.0
    return float(micro), float(np.mean(2 * hits / np.maximum(sizes, 1)))


def pearson(a: Numbers, b: Numbers) -> float:
    """The correlation of two columns; 0 where one is constant."""
    x, y = a - a.mean(), b - b.mean()
    below = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / below) if below > 0 else 0.0


def spearman(a: Numbers, b: Numbers) -> float:
    """The correlation of the ranks; equal values share the mean of theirs."""
    return pearson(_ranks(a), _ranks(b))


def _ranks(values: Numbers) -> Numbers:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    return (last - (counts - 1) / 2)[places]
