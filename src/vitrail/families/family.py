"""What a family is: data that leads from a published checkpoint to a spec, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.config import Config
from vitrail.models.spec import EncoderSpec

# The reference library's names of nonlinearities -> ours. Its several names of GELU's tanh form differ in rounding
# only.
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
PUBLISHED_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """model_types: values of `model_type` in config.json; the first is the one written.
    architecture: the class of the reference library that opens a saved encoder; None when it has no counterpart there.
    read: config -> spec. write: spec -> the options of a config.json (whatever it cannot express is found by reading it
        back, so it need not check).
    known_code: values of `auto_map["AutoModel"]` whose remote code this family reproduces, so that it need not run.
    """

    model_types: tuple[str, ...]
    architecture: str | None
    read: Callable[[Config], EncoderSpec]
    write: Callable[[EncoderSpec], dict[str, Any]]
    weights: WeightMap
    known_code: tuple[str, ...] = ()


def activation(config: Config, name: str) -> str:
    """Our name of the nonlinearity that the option `name` holds."""
    published = config[name]
    if published not in ACTIVATION_NAMES:
        raise UnsupportedModel(
            f"{name} {published!r} is not an activation vitrail has; it has {', '.join(sorted(ACTIVATION_NAMES))}"
        )
    return ACTIVATION_NAMES[published]
