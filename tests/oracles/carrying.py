"""Between a reference model and ours, in memory and through files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vitrail.checkpoints.weight_map import LoadPlan, WeightMap, best_fit, plan_loading
from vitrail.families import Config, Family, family_of, spec_of
from vitrail.models import EncoderModel, EncoderSpec


@dataclass(frozen=True)
class Pair:
    """A reference model, the folder it saved, and our model of that folder."""

    name: str
    reference: Any
    folder: Path
    family: Family
    config: Config
    ours: EncoderModel

    @property
    def padding_id(self) -> int:
        return self.ours.spec.padding_id if self.ours.spec.padding_id is not None else 4


def shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def layout_of(family: Family, model: EncoderModel, names: list[str]) -> WeightMap:
    wanted = [name for name, _ in model.named_parameters()]
    return best_fit(family.weights, wanted=wanted, found=names, layer_numbers=model.spec.shared_layers)


@torch.no_grad()
def filled(family: Family, spec: EncoderSpec, tensors: dict[str, Tensor]) -> tuple[EncoderModel, LoadPlan]:
    """Our model of `spec`, with the weights of a published checkpoint."""
    model = EncoderModel(spec)
    parameters = dict(model.named_parameters())
    plan = plan_loading(
        layout_of(family, model, list(tensors)),
        wanted=shapes(parameters),
        found=shapes(tensors),
        layer_numbers=spec.shared_layers,
    )
    for ours, piece in plan.slices.items():
        parameters[ours].copy_(tensors[piece.name][piece.start : piece.stop])
    return model.eval(), plan


def read_folder(folder: Path) -> tuple[Family, EncoderSpec, Config, dict[str, Tensor]]:
    values: dict[str, Any] = json.loads((folder / "config.json").read_text())
    family, config = family_of(values), Config(values)
    return family, spec_of(family, config), config, load_file(folder / "model.safetensors")
