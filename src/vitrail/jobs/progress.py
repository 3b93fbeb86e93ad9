"""How far a job is, on stderr: a live line where a person looks on, nothing but the closing line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EmbedReport:
    """What a job did. `resumed_rows` of the rows were finished by an earlier run."""

    rows: int = 0
    errors: int = 0
    truncated: int = 0
    tokens: int = 0
    resumed_rows: int = 0
    tokens_per_second: float = 0.0

    def __str__(self) -> str:
        resumed = f" ({self.resumed_rows:,} of them by an earlier run)" if self.resumed_rows else ""
        return (
            f"{self.rows:,} rows{resumed}, {self.errors:,} errors, {self.truncated:,} truncated, "
            f"{self.tokens:,} tokens at {self.tokens_per_second:,.0f} tokens/s"
        )


class Meter:
    """Counts parts as they are done."""

    def __init__(self, show: Callable[[EmbedReport], None]):
        self.show = show
        self.report = EmbedReport()
        self.earlier_tokens = 0
        self.started = time.monotonic()

    def add(self, counts: Mapping[str, int], *, rows: int, resumed: bool = False) -> None:
        """One more part; `counts` as `Part.counts` gives them."""
        self.earlier_tokens += counts["tokens"] if resumed else 0
        done = self.report.tokens + counts["tokens"]
        self.report = EmbedReport(
            rows=self.report.rows + rows,
            errors=self.report.errors + counts["errors"],
            truncated=self.report.truncated + counts["truncated"],
            tokens=done,
            resumed_rows=self.report.resumed_rows + (rows if resumed else 0),
            tokens_per_second=(done - self.earlier_tokens) / max(time.monotonic() - self.started, 1e-9),
        )
        self.show(self.report)


@contextmanager
def progress(count: Callable[[], int | None]) -> Iterator[Meter]:
    """A meter that shows itself when stderr is a terminal; only then the rows are counted, for the time left."""
    if not sys.stderr.isatty():
        yield Meter(lambda report: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=count(), speed="")

        def show(report: EmbedReport) -> None:
            bar.update(task, completed=report.rows, speed=f"{report.tokens_per_second:,.0f} tokens/s")

        yield Meter(show)
