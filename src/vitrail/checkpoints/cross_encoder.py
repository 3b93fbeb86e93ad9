"""What sentence-transformers' CrossEncoder says beside a classifier: what becomes of its one logit.

Today's versions say it in config_sentence_transformers.json, those from 4 on in config.json, older ones there too under
another name; silence means a sigmoid.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrail.checkpoints.config_files import read_json
from vitrail.errors import UnsupportedModel

ACTIVATIONS = {"sigmoid": "torch.nn.modules.activation.Sigmoid", "identity": "torch.nn.modules.linear.Identity"}


def is_cross_encoder(folder: Path) -> bool:
    return _description(folder).get("model_type") == "CrossEncoder"


def read_score_activation(folder: Path, values: Mapping[str, Any]) -> str:
    """ "sigmoid" or "identity": what the scores of the model in `folder` are of its logits. values: of config.json."""
    beside = values.get("sentence_transformers")
    written = (
        _description(folder).get("activation_fn")
        or (beside.get("activation_fn") if isinstance(beside, dict) else None)
        or values.get("sbert_ce_default_activation_function")
        or ACTIVATIONS["sigmoid"]
    )
    name = str(written).rpartition(".")[2].lower()
    if not str(written).startswith("torch.nn.") or name not in ACTIVATIONS:
        raise UnsupportedModel(
            f"{folder} turns its scores through {str(written)[:80]!r}; vitrail has {' and '.join(ACTIVATIONS.values())}"
        )
    return name


def written_score_activation(name: str) -> dict[str, Any]:
    """The option of config.json that every version since 4 reads."""
    return {"sentence_transformers": {"activation_fn": ACTIVATIONS[name]}}


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "config_sentence_transformers.json"
    return read_json(path) if path.is_file() else {}
