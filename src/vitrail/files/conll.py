"""CoNLL: one token per line with its tag in the last column, and a blank line behind each sentence.

Columns are parted by a tab where the line has one, else by any white space. `-DOCSTART-` lines are left out, and so are
comments: lines that begin with `#` before the first token of a sentence, and have no tab (a token `#` has its tag
behind one, or stands further in).
"""

from collections.abc import Iterable, Iterator

from vitrail.files.lines import Line
from vitrail.files.records import Record


def read_conll(lines: Iterable[Line]) -> Iterator[Record]:
    """Sentences with the columns `tokens` and `tags`."""
    tokens: list[str] = []
    tags: list[str] = []
    first, size, error = 0, 0, None
    for line in lines:
        text = line.text.strip()
        begun = bool(tokens) or error is not None
        if not text and line.error is None:
            if begun:
                yield Record(first, {"tokens": tokens, "tags": tags}, error, size)
            tokens, tags, size, error = [], [], 0, None
        elif not begun and is_comment(text):
            continue
        elif not text.startswith("-DOCSTART-"):
            first = first if begun else line.number
            size += line.size
            fields = split_line(line.text)
            error = (
                error or line.error or (None if len(fields) > 1 else f"line {line.number} has no tag: {text[:40]!r}")
            )
            tokens.append(fields[0])
            tags.append(fields[-1] if len(fields) > 1 else "")
    if tokens or error is not None:
        yield Record(first, {"tokens": tokens, "tags": tags}, error, size)


def split_line(text: str) -> list[str]:
    """The fields of a line; with tabs a token may hold a space, and may be one."""
    bare = text.rstrip("\r\n")
    return [field.strip() for field in bare.split("\t")] if "\t" in bare.strip() else bare.split()


def is_comment(text: str) -> bool:
    """`# newdoc id = 3` is one; `# O` and `#tag B-X` are a token with its tag."""
    return text.startswith("#") and "\t" not in text and len(text.split()) != 2
