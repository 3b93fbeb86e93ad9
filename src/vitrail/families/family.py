"""What a family is: data that leads from a published checkpoint to a spec, and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import CheckpointError, ExportError, UnsupportedModel
from vitrail.families.config import Config
from vitrail.families.heads import PublishedHead
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
    weights: the layouts its checkpoints come in; the first is the one written.
    heads: the published heads, by kind.
    known_code: values of `auto_map["AutoModel"]` whose remote code this family reproduces, so that it need not run;
        what stands before "--" (the repository that holds the code) is left out.
    """

    model_types: tuple[str, ...]
    architecture: str | None
    read: Callable[[Config], EncoderSpec]
    write: Callable[[EncoderSpec], dict[str, Any]]
    weights: tuple[WeightMap, ...]
    heads: Mapping[str, PublishedHead] = field(default_factory=dict)
    known_code: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Callable[[str], "Family"], tuple[str]]:
        """By name: its functions are not all found by theirs."""
        return _named, (self.model_types[0],)


def _named(model_type: str) -> Family:
    from vitrail.families import BY_MODEL_TYPE

    return BY_MODEL_TYPE[model_type]


def spec_of(family: Family, config: Config) -> EncoderSpec:
    """The spec that a config.json describes. Values that make no model are the file's fault, and said to be."""
    try:
        return family.read(config)
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError) as error:
        raise CheckpointError(f"config.json of this {config.model_type} model describes no encoder: {error}") from error


def config_of(family: Family, spec: EncoderSpec) -> dict[str, Any]:
    """The config.json of an encoder in the family's format. ExportError where the format cannot express the spec."""
    values: dict[str, Any] = {"model_type": family.model_types[0]}
    if family.architecture is not None:
        values["architectures"] = [family.architecture]
    values |= family.write(spec)
    try:
        back = spec_of(family, Config(values))
    except (CheckpointError, UnsupportedModel) as error:
        raise ExportError(f"this encoder cannot be saved as {family.model_types[0]}: {error}") from error
    differing = [
        f"{name} {getattr(spec, name)!r} would become {getattr(back, name)!r}"
        for name in (field.name for field in fields(spec))
        if getattr(spec, name) != getattr(back, name)
    ]
    if differing:
        raise ExportError(
            f"this encoder cannot be saved as {family.model_types[0]}, whose format does not express: "
            f'{"; ".join(differing)}. Save it as "vitrail" instead'
        )
    return values


def activation(config: Config, name: str) -> str:
    """Our name of the nonlinearity that the option `name` holds."""
    published = config[name]
    if published not in ACTIVATION_NAMES:
        raise UnsupportedModel(
            f"{name} {published!r} is not an activation vitrail has; it has {', '.join(sorted(ACTIVATION_NAMES))}"
        )
    return ACTIVATION_NAMES[published]
