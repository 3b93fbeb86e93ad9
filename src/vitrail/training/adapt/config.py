"""Everything that decides an adaptation; what it shares with a run (`training/config.py`) means the same there.

model:       what is adapted
data:        the domain's text; validation rows say how well its words are guessed
vocabulary:  which words become tokens
masking:     options of fill-mask
training, optimizer, averaging, logging: of the masked-language-model training
downstream:  a configuration of `vitrail train`, by which adapted and unadapted model are compared
forgetting:  scored pairs of general text
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vitrail.training.config import (
    AveragingConfig,
    Count,
    LoggingConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    Section,
    TrainingConfig,
)
from vitrail.training.config_files import read_config
from vitrail.training.datasets import DataConfig
from vitrail.training.datasets.config import expanded

STSB_TEST = "sts-test.csv"
_STSB_COLUMNS = ("genre", "file", "year", "id", "score", "text", "text_pair")


class VocabularyConfig(Section):
    """A word is added when it stands `count` times in the training text and the tokenizer makes `pieces` of it, or does
    not know it; the words that save the most pieces first, `most` of them (0: none). lexicon: a file of words, one or
    several a line, each of which becomes a token wherever it is not one.
    """

    pieces: Annotated[int, Field(ge=2)] = 3
    count: Count = 5
    most: Annotated[int, Field(ge=0)] = 1000
    lexicon: str | None = None

    @field_validator("lexicon")
    @classmethod
    def _with_variables(cls, value: str | None) -> str | None:
        return None if value is None else expanded(value)


class DownstreamConfig(Section):
    """config: of `vitrail train`: its path or its keys, with validation data; its model is replaced by the two.
    seeds: of the paired runs.
    """

    config: RunConfig
    seeds: Annotated[tuple[int, ...], Field(min_length=2)] = (0, 1, 2)

    @field_validator("config", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return read_config(expanded(value)) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _decidable(self) -> "DownstreamConfig":
        if self.config.data.validation is None:
            raise ValueError("downstream.config needs data.validation: by its scores it is decided which model is kept")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("downstream.seeds: the same seed twice is the same run twice")
        return self


def _as_pairs(value: Any) -> Any:
    """A path is short for its data: the folder or a file of the STS benchmark, or a file with our own column names."""
    if not isinstance(value, str):
        return value
    path = Path(expanded(value))
    path = path / STSB_TEST if path.is_dir() else path
    if path.name.startswith("sts-") and path.suffix == ".csv":
        return {"train": str(path), "format": "tsv", "quoting": False, "columns": _STSB_COLUMNS}
    return {"train": str(path)}


class AdaptConfig(Section):
    """The whole."""

    model: Annotated[ModelConfig, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)]
    data: DataConfig
    vocabulary: VocabularyConfig = VocabularyConfig()
    masking: dict[str, Any] = Field(default_factory=dict)
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    averaging: AveragingConfig = AveragingConfig()
    logging: LoggingConfig = LoggingConfig()
    downstream: DownstreamConfig | None = None
    forgetting: Annotated[DataConfig | None, BeforeValidator(_as_pairs)] = None

    @field_validator("model")
    @classmethod
    def _published(cls, value: ModelConfig) -> ModelConfig:
        if value.spec is not None:
            raise ValueError("what is adapted is a checkpoint: give model.name; `vitrail train` builds from model.spec")
        return value

    @field_validator("downstream", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"config": value} if isinstance(value, str) else value
