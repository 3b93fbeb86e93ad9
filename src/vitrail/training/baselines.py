"""What is reached without an encoder: a score means something only beside these.

Classification: the most frequent label, and logistic regression on TF-IDF of words and pairs of words; of characters
where the script has no spaces. Tagging: each word's most frequent tag. The other tasks have none that is simple.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from vitrail.training.doctor.sizes import UNSPACED

Rows = Sequence[Mapping[str, Any]]
UNSPACED_SHARE = 0.2
"""Of the characters of a text in such a script, from which its words cannot be found at spaces."""
MOST_TEXTS = 100_000
"""The regression learns from so many at most, the first ones; beyond, it would take longer than it tells."""


def baselines(task: str, train: Rows, rows: Rows, *, seed: int = 0) -> dict[str, list[Any]]:
    """The predictions of each baseline for `rows`, by its name; none for tasks that have none."""
    if task == "text-classification" and not any(isinstance(row["label"], list) for row in train):
        return {"majority": majority(train, rows), **tfidf_regression(train, rows, seed=seed)}
    if task == "token-classification":
        return {"most frequent tag": frequent_tags(train, rows)}
    return {}


def majority(train: Rows, rows: Rows) -> list[str]:
    """The most frequent label of the training rows for each row; of several the first by name."""
    counts = Counter(row["label"] for row in train)
    most = min(counts, key=lambda label: (-counts[label], label))
    return [most] * len(rows)


def tfidf_regression(train: Rows, rows: Rows, *, seed: int = 0) -> dict[str, list[str]]:
    """Logistic regression on TF-IDF; nothing where the training rows have one label, or no words."""
    text = import_module("sklearn.feature_extraction.text")
    linear = import_module("sklearn.linear_model")
    some = train[:MOST_TEXTS]
    texts, labels = [joined(row) for row in some], [row["label"] for row in some]
    if len(set(labels)) < 2:
        return {}
    unspaced = is_unspaced(texts)
    what = {"analyzer": "char", "ngram_range": (1, 3)} if unspaced else {"ngram_range": (1, 2)}
    vectorizer = text.TfidfVectorizer(sublinear_tf=True, max_features=200_000, **what)
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return {}
    model = linear.LogisticRegression(C=10.0, max_iter=200, random_state=seed).fit(features, labels)
    found = model.predict(vectorizer.transform([joined(row) for row in rows]))
    return {f"TF-IDF of {'characters' if unspaced else 'words'} + LR": [str(label) for label in found]}


def joined(row: Mapping[str, Any]) -> str:
    return " ".join(str(row[name]) for name in ("text", "text_pair") if name in row)


def is_unspaced(texts: Sequence[str]) -> bool:
    """Whether the texts are mostly in scripts without spaces, from the first thousand."""
    together = "".join(texts[:1000])
    return len(UNSPACED.findall(together)) > UNSPACED_SHARE * len(together)


def frequent_tags(train: Rows, rows: Rows) -> list[list[str]]:
    """Each word's most frequent tag; O, or the most frequent of all, for a word that was not seen."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in train:
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            counts[token][tag] += 1
            overall[tag] += 1
    usual = "O" if "O" in overall or not overall else overall.most_common(1)[0][0]
    best = {token: found.most_common(1)[0][0] for token, found in counts.items()}
    return [[best.get(token, usual) for token in row["tokens"]] for row in rows]
