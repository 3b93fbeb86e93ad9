"""The data of a training run: where it stands (`DataConfig`), and its rows, keyed by role (`read_data`)."""

from vitrail.training.datasets.config import DataConfig
from vitrail.training.datasets.read import Data, read_data

__all__ = ["Data", "DataConfig", "read_data"]
