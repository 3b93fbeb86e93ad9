"""The texts every benchmark embeds: all distinct, and drawn the same in every run.

Skewed: the docstrings of Python's standard library (whole, and each paragraph) and, when the data folder holds it, the
abstracts of Cranfield. A docstring is anything from three words to several pages, so is this set. Short: ten words of
docstrings. Long: docstrings one after the other, until no more can be read.
"""

import importlib
import inspect
import pkgutil
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# Modules whose import does something to the process or opens a window.
_LEFT_OUT = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "lib2to3", "test"}


def docstrings() -> list[str]:
    """Distinct docstrings and their paragraphs, in alphabetical order."""
    names = [name for name in sorted(sys.stdlib_module_names) if not name.startswith("_") and name not in _LEFT_OUT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # all are imported before any is read: some modules document others
        modules = [module for name in names for module in _modules(name)]
        texts = {text for module in modules for text in _docs_of(module)}
    paragraphs = {paragraph.strip() for text in texts for paragraph in text.split("\n\n")}
    return sorted(texts | {paragraph for paragraph in paragraphs if len(paragraph) > 10})


def cranfield(data: Path) -> list[str]:
    """The abstracts of the Cranfield collection, without the two empty ones."""
    return [text for text in entries(data / "cranfield" / "cran.all.1400") if text]


def entries(file: Path) -> list[str]:
    """What stands after `.W` in each entry of a file of Cranfield."""
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there. It is part of Cranfield (cran.all.1400, cran.qry, cranqrel), of the Glasgow IR "
            "collection of test collections; name the folder that holds `cranfield` with --data or $VITRAIL_DATA"
        )
    parts = re.split(r"^\.I \d+\n", file.read_text(), flags=re.M)[1:]
    return [" ".join(re.split(r"^\.W\n", part, maxsplit=1, flags=re.M)[-1].split()) for part in parts]


def skewed_texts(count: int, *, data: Path | None = None, seed: int = 0) -> list[str]:
    """`count` distinct texts, drawn without replacement."""
    pool = docstrings() + (cranfield(data) if data is not None else [])
    pool = list(dict.fromkeys(pool))
    if count > len(pool):
        raise ValueError(f"only {len(pool)} distinct texts are at hand, {count} were asked for")
    return random.Random(seed).sample(pool, count)


def short_texts(count: int, words: Sequence[str], *, seed: int = 0) -> list[str]:
    """`count` distinct texts of ten of these words: with [CLS] and [SEP] 12 tokens, if each word is one."""
    drawn = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(drawn.choices(words, k=10))] = None
    return list(texts)


def long_texts(count: int, *, characters: int, seed: int = 0) -> list[str]:
    """`count` distinct texts of at least so many characters: docstrings joined, each text from its own place on."""
    pool = docstrings()
    random.Random(seed).shuffle(pool)
    texts, place = [], 0
    for _ in range(count):
        parts: list[str] = []
        while sum(map(len, parts)) < characters:
            parts.append(pool[place % len(pool)])
            place += 1
        texts.append("\n\n".join(parts))
    return texts


def common_words() -> list[str]:
    """Words of four to eight letters that the docstrings use often, so that most are whole in an English vocabulary."""
    found = Counter(word for text in docstrings() for word in re.findall(r"\b[a-z]{4,8}\b", text))
    return sorted(word for word, times in found.items() if times >= 50)


def _modules(name: str):
    try:
        module = importlib.import_module(name)
    except Exception:  # a module of another platform
        return
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if info.name.startswith(("_", "test")) or info.name in ("tests", "idle_test"):
            continue
        try:
            yield importlib.import_module(f"{name}.{info.name}")
        except (Exception, SystemExit):
            continue


def _docs_of(module):
    for value in [module, *vars(module).values()]:
        if callable(value) or inspect.ismodule(value):
            yield from _doc(value)
        if inspect.isclass(value):
            for member in vars(value).values():
                if callable(member):
                    yield from _doc(member)


def _doc(value):
    try:
        text = inspect.getdoc(value)
    except Exception:  # a descriptor that computes its documentation and fails
        return
    if isinstance(text, str) and len(text.strip()) > 10:
        yield text.strip()
