"""What a description of data may say, and what is refused with which words."""

import pytest
from pydantic import ValidationError

from vitrail.training.datasets import DataConfig
from vitrail.training.datasets.config import config_of


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train": "a.csv", "validaton": 0.1}, "Did you mean 'validation'"),
        ({"train": "a.csv", "validation": 0.6, "test": 0.4}, "leave nothing to train on"),
        ({"train": "a.csv", "validation": 1.5}, "less than 1"),
        ({"train": "a.csv", "format": "xls"}, "'csv', 'tsv', 'jsonl'"),
        ({"train": "a.csv", "delimiter": "::"}, "a delimiter is one character"),
        ({"train": "a.csv", "limit": 0}, "greater than 0"),
        ({"train": "a.csv", "roles": {"text": {"dev": "content"}}}, "'train', 'validation' or 'test'"),
    ],
)
def test_what_cannot_be_meant_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        DataConfig(**values)


def test_a_role_is_played_by_the_column_named_so_or_by_one_named_for_it_in_all_splits_or_in_one():
    config = DataConfig(train="a.csv", roles={"text": {"validation": "content"}, "label": "stars"})

    assert [config.column("text", split) for split in ("train", "validation", "test")] == ["text", "content", "text"]
    assert config.column("label", "test") == "stars"


def test_a_configuration_comes_back_from_what_it_was_saved_as():
    config = DataConfig(
        train={"text": "a.en", "text_pair": "a.de"}, validation=0.1, columns=("a", "b"), delimiter="tab"
    )

    assert DataConfig.model_validate_json(config.model_dump_json()) == config


def test_on_a_command_line_a_number_is_a_fraction():
    config = config_of(["a.csv", "b.csv"], validation=["0.25"], test=["c.csv"])

    assert (config.train, config.validation, config.test) == (("a.csv", "b.csv"), 0.25, ("c.csv",))
