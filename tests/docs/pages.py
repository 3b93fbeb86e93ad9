"""The documents as data: their code blocks, shell lines, links and tables, found by the rules CONTRIBUTING.md states.

- A ```python block is run, all blocks of a page in order, in one namespace. One that follows the comment
  `<!-- needs sentence-transformers -->` is run by `make test-all` only; one that follows `<!-- shown, not run -->` is
  never run.
- In a block that is run, what stands in the comment behind a `print` is what it prints.
- In a ```console block, a line that begins with `$ ` is a command, and the lines up to the next are its output.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

RUN, SLOW, SHOWN = "run", "needs sentence-transformers", "shown, not run"
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PRINTED = re.compile(r"^\s*print\(.*\)  # (.*)$", re.M)


@dataclass(frozen=True, kw_only=True)
class Block:
    language: str
    body: str
    mark: str  # one of RUN, SLOW, SHOWN

    @property
    def printed(self) -> list[str]:
        """What the block says that it prints, line by line."""
        return _PRINTED.findall(self.body)


@dataclass(frozen=True, kw_only=True)
class Command:
    line: str
    output: list[str]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        mark = match["mark"] or RUN
        assert mark in (RUN, SLOW, SHOWN), f"{page.name}: unknown mark {mark!r} before a block"
        if language in (None, match["language"]):
            found.append(Block(language=match["language"], body=match["body"], mark=mark))
    return found


def commands(page: Path) -> list[Command]:
    found: list[Command] = []
    for block in blocks(page, "console"):
        for line in block.body.splitlines():
            if line.startswith("$ "):
                found.append(Command(line=line.removeprefix("$ "), output=[]))
            elif line.strip():
                found[-1].output.append(line)
    return found


def links(page: Path) -> list[str]:
    """Relative links, without the part behind #; code blocks left out."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = (target.partition("#")[0] for target in _LINK.findall(text) if "://" not in target)
    return [target for target in targets if target]
