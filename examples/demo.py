"""The main job on real text: find a Python function by what it does, not by its words.

Run it with `make demo`, or `python examples/demo.py` where vitrail is installed. It collects the first lines of the
documentation of Python's standard library, turns them into vectors with `vitrail embed`, and asks three questions with
`vitrail search`.
"""

import importlib
import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path

OUT = Path("demo-out")
# fmt: off
MODULES = (
    "argparse", "array", "base64", "bisect", "bz2", "calendar", "collections", "configparser", "contextlib", "copy",
    "csv", "datetime", "decimal", "difflib", "email.utils", "fileinput", "fnmatch", "fractions", "functools", "gc",
    "getpass", "glob", "gzip", "hashlib", "heapq", "html", "http.client", "imaplib", "inspect", "io", "ipaddress",
    "itertools", "json", "linecache", "locale", "logging", "lzma", "mailbox", "math", "mimetypes", "operator", "os",
    "os.path", "pathlib", "pickle", "platform", "poplib", "pprint", "queue", "random", "re", "sched", "secrets",
    "select", "selectors", "shelve", "shlex", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "stat",
    "statistics", "string", "struct", "subprocess", "sys", "tarfile", "tempfile", "textwrap", "threading", "time",
    "timeit", "tokenize", "traceback", "types", "unicodedata", "unittest", "urllib.parse", "urllib.request", "uuid",
    "venv", "warnings", "wave", "weakref", "webbrowser", "xml.dom.minidom", "zipfile", "zlib",
)
# fmt: on
QUESTIONS = (
    "delete a folder and everything inside it",
    "what changed between two versions of a text?",
    "pick a winner by chance",
)


def functions() -> dict[str, str]:
    """Name -> first paragraph of the documentation, of public functions and classes."""
    found: dict[str, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in sorted(vars(module).items()):
            if attribute.startswith("_") or not callable(value) or getattr(value, "__module__", name) is None:
                continue
            text = (inspect.getdoc(value) or "").split("\n\n")[0]
            if len(text.split()) >= 4 and text not in found.values():
                found[f"{name}.{attribute}"] = " ".join(text.split())
    return found


def run(*command: str) -> None:
    print(f"\n$ {shlex.join(('vitrail', *command))}")
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "vitrail", *command], check=True)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    texts = functions()
    source = OUT / "functions.jsonl"
    with source.open("w", encoding="utf-8") as stream:
        for name, text in texts.items():
            stream.write(json.dumps({"name": name, "text": text}, ensure_ascii=False) + "\n")
    print(f"{len(texts)} functions of Python's standard library and what each does, in {source}")
    run("embed", str(source), "-o", str(OUT / "functions.parquet"), "--overwrite")
    for question in QUESTIONS:
        run("search", str(OUT / "functions.parquet"), question, "-k", "3", "--show", "name")
    print(f"\nThe vectors are in {OUT / 'functions.parquet'}. Ask your own:")
    print(f"  {Path(sys.executable).parent / 'vitrail'} search {OUT / 'functions.parquet'} 'your question'")


if __name__ == "__main__":
    main()
