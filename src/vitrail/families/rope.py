"""The options of rotary positions, which the families that have them spell alike.

Today `rope_parameters` holds `rope_type`, `rope_theta` and the type's own numbers; older files have `rope_theta` beside
a `rope_scaling` that may be null.
"""

from collections.abc import Mapping
from typing import Any

from vitrail.errors import UnsupportedModel
from vitrail.families.config import Config
from vitrail.models.positions import RotaryPositions
from vitrail.models.spec import EncoderSpec


def rope_options(config: Config) -> dict[str, Any]:
    """The options as one dict, whichever way the file spells them."""
    options = dict(config.get("rope_scaling", None) or config.get("rope_parameters", None) or {})
    theta = config.get("rope_theta", None)
    if theta is not None:
        options.setdefault("rope_theta", theta)
    return options


def read_positions(config: Config, *, default_base: float, head_dim: int, num_layers: int) -> RotaryPositions:
    """The rotary positions of a family whose layers share one base and turn whole heads."""
    base, scaling = base_and_scaling(rope_options(config), default_base=default_base, head_dim=head_dim)
    return RotaryPositions(
        bases=(base,) * num_layers,
        rotary_dim=head_dim,
        scaling=scaling,
        trained_length=config.get("max_position_embeddings", None),
    )


def base_and_scaling(options: Mapping[str, Any], *, default_base: float, head_dim: int) -> tuple[float, float]:
    """The base of the angles, and what divides them.

    default  base, 1
    linear   base, factor                                  position interpolation
    ntk      base · factor, factor^(2/head_dim)            the lowest frequency is divided by factor, the highest least
                                                           (Alibaba's gte; https://kexue.fm/archives/9706, eq. 6)
    """
    options = {name: value for name, value in options.items() if value is not None}
    kind = options.pop("rope_type", options.get("type", "default"))
    options.pop("type", None)
    base = float(options.pop("rope_theta", default_base))
    factor = float(options.pop("factor", 1.0)) if kind in ("linear", "ntk") else 1.0
    if kind not in ("default", "linear", "ntk") or options:
        described = f"type {kind!r}" + (f" with {', '.join(sorted(options))}" if options else "")
        raise UnsupportedModel(f"rotary positions of {described} are not supported; vitrail has default, linear, ntk")
    if kind == "ntk":
        return base * factor, factor ** (2 / head_dim)
    return base, factor


def written_rope(base: float, scaling: float) -> dict[str, Any]:
    """The options as the reference library writes them."""
    if scaling == 1.0:
        return {"rope_type": "default", "rope_theta": base}
    return {"rope_type": "linear", "rope_theta": base, "factor": scaling}


def written_positions(spec: EncoderSpec) -> dict[str, Any]:
    """All options of a spec's rotary positions, for families whose layers share one base."""
    if spec.rotary is None:
        return {}
    options: dict[str, Any] = {"rope_parameters": written_rope(spec.rotary.bases[0], spec.rotary.scaling)}
    if spec.rotary.trained_length is not None:
        options["max_position_embeddings"] = spec.rotary.trained_length
    return options
