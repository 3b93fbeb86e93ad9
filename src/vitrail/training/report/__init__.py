"""The report of a run: is the model good, how sure is that, what went wrong, and what to try next."""

from vitrail.training.report.write import write_report

__all__ = ["write_report"]
