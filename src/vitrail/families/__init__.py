"""The published families, one file each: how a config.json becomes a spec, and what its tensors are called.

To add one, write its file and add its line to `FAMILIES`; CONTRIBUTING.md walks through an example.
"""

from vitrail.errors import UnsupportedModel
from vitrail.families import (
    albert,
    bert,
    deberta_v2,
    distilbert,
    electra,
    eurobert,
    gte,
    modernbert,
    mpnet,
    nomic_bert,
    own,
    roberta,
)
from vitrail.families.config import Config
from vitrail.families.family import Family, config_of, spec_of

FAMILIES: tuple[Family, ...] = (
    bert.FAMILY,
    roberta.FAMILY,
    roberta.XLM_ROBERTA,
    roberta.CAMEMBERT,
    distilbert.FAMILY,
    electra.FAMILY,
    albert.FAMILY,
    mpnet.FAMILY,
    deberta_v2.FAMILY,
    modernbert.FAMILY,
    nomic_bert.FAMILY,
    gte.FAMILY,
    eurobert.FAMILY,
    own.FAMILY,  # the original encoder, and whatever else has no published format
)

BY_MODEL_TYPE = {model_type: family for family in FAMILIES for model_type in family.model_types}


def family_of(config: dict[str, object]) -> Family:
    """The family that a config.json names by its `model_type`."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in BY_MODEL_TYPE:
        raise UnsupportedModel(
            f"model_type {model_type!r} in config.json is not a family vitrail builds; "
            f"it builds {', '.join(sorted(BY_MODEL_TYPE))}"
        )
    return BY_MODEL_TYPE[model_type]


__all__ = ["BY_MODEL_TYPE", "FAMILIES", "Config", "Family", "config_of", "family_of", "spec_of"]
