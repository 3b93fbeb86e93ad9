"""An empty figure of matplotlib, made without pyplot: nothing is kept beyond it and no display is needed."""

from importlib import import_module
from typing import Any

DPI = 130


def paper(width: float, height: float, **options: Any) -> Any:
    """So many inches. options: `layout`, as matplotlib's `Figure` has it."""
    return import_module("matplotlib.figure").Figure(figsize=(width, height), dpi=DPI, **options)
