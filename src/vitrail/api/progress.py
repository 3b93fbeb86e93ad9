"""A bar on stderr for long work, silence for short work and for pipes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# With show_progress=None a bar appears for more tokens than this: some seconds of work on a small CPU.
_LONG_WORK_TOKENS = 100_000


class Progress:
    """show: True or False, or None to decide by the work and by whether stderr is a terminal."""

    def __init__(self, show: bool | None):
        self.show = show

    @contextmanager
    def over(self, total_tokens: int) -> Iterator[Callable[[int], None]]:
        """Gives a function to be called with the tokens done since its last call."""
        show = self.show
        if show is None:
            show = total_tokens > _LONG_WORK_TOKENS and sys.stderr.isatty()
        if not show:
            yield lambda tokens: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens"), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("embedding", total=total_tokens)
            yield lambda tokens: bar.advance(task, tokens)
