"""How far long work is: a bar on a terminal, one output that is rewritten in a notebook, silence for short work and for
pipes.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

# With show_progress=None a bar appears for more than this: of tokens some seconds on a small CPU, of texts on a GPU.
_LONG_WORK = 100_000
_SECONDS_BETWEEN = 0.25  # of two rewritings in a notebook
_MOST_LINES, _BAR_WIDTH = 40, 40


@runtime_checkable
class Screen(Protocol):
    """Where progress is shown: a bar, and lines that stay above it."""

    def move(self, done: int, words: str) -> None: ...

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


def open_screen(total: int, *, show: bool | None) -> Screen | None:
    """show: True or False; None: on a terminal or in a notebook. `total` is what `move` counts up to."""
    notebook = in_notebook()
    if not (notebook or sys.stderr.isatty() if show is None else show):
        return None
    return NotebookScreen(total) if notebook else TerminalScreen(total)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class TerminalScreen:
    """On stderr."""

    def __init__(self, total: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def move(self, done: int, words: str) -> None:
        self._bar.update(self._task, completed=done, description=words)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False)

    def close(self) -> None:
        self._bar.stop()


class NotebookScreen:
    """Plain text, which reads the same wherever a notebook is opened; the last lines only, as each rewriting sends all.

    rich's own bar needs ipywidgets there, and without them prints a warning at every step.
    """

    def __init__(self, total: int):
        self._total, self._done, self._words = total, 0, ""
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._output = import_module("IPython.display").display(self._shown(), raw=True, display_id=True)
        self._written = time.monotonic()

    def move(self, done: int, words: str) -> None:
        self._done, self._words = done, words
        if time.monotonic() - self._written >= _SECONDS_BETWEEN:
            self._write()

    def say(self, line: str) -> None:
        self._lines.append(line)
        self._write()

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        self._output.update(self._shown(), raw=True)
        self._written = time.monotonic()

    def _shown(self) -> dict[str, str]:
        filled = _BAR_WIDTH * self._done // max(self._total, 1)
        bar = "━" * filled + "╌" * (_BAR_WIDTH - filled)
        return {"text/plain": "\n".join([*self._lines, f"{bar} {self._words}"])}


class Progress:
    """Of tokens or texts. show: True or False, or None to decide by the work and by where it would be seen."""

    def __init__(self, show: bool | None):
        self.show = show

    @contextmanager
    def over(self, total: int, unit: str = "tokens") -> Iterator[Callable[[int], None]]:
        """Gives a function to be called with the tokens (or texts, as `unit` says) done since its last call."""
        short = self.show is None and total <= _LONG_WORK
        screen = None if short else open_screen(total, show=self.show)
        if screen is None:
            yield lambda more: None
            return
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done = min(done + more, total)
            screen.move(done, f"{done:,}/{total:,} {unit}")

        try:
            yield advance
        finally:
            screen.close()
