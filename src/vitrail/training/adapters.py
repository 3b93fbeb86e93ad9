"""LoRA's matrices and the head as the reference library for adapters (peft) stores them, in and out.

adapter_config.json         rank, alpha, dropout, and the published names of the adapted products
adapter_model.safetensors   base_model.model.<published name>.lora_A.weight (A), .lora_B.weight (B), and the head
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitrail.api import Encoder
from vitrail.checkpoints.config_files import write_json
from vitrail.checkpoints.replacing import replacing
from vitrail.errors import CheckpointMismatch, DamagedFile, ExportError, UnsupportedModel
from vitrail.families.saved_heads import published_head_tensors
from vitrail.training.config import LoraConfig
from vitrail.training.lora import add_lora, lora_modules

_ROOT = "base_model.model."
_TASK_TYPES = {
    "text-classification": "SEQ_CLS",
    "reranking": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
}
# Options of the format that would change the sum, with the value at which they do nothing.
_NEUTRAL = {
    "alpha_pattern": {},
    "rank_pattern": {},
    "use_rslora": False,
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "peft_type": "LORA",
}


def save_adapter(encoder: Encoder, folder: Path) -> None:
    """Write what was added to the published model `encoder` began as. ExportError where the names cannot say it."""
    adapted = lora_modules(encoder)
    if not adapted:
        raise ExportError("the encoder has no LoRA; save it as a whole with encoder.save")
    names = published_products(encoder)
    first = next(iter(adapted.values()))
    head = _head(encoder)
    tensors = {f"{_ROOT}{name}": tensor for name, tensor in head.items()}
    for ours, module in adapted.items():
        tensors[f"{_ROOT}{names[ours]}.lora_A.weight"] = module.lora_down
        tensors[f"{_ROOT}{names[ours]}.lora_B.weight"] = module.lora_up
    rank = first.lora_down.shape[0]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "adapter_model.safetensors") as partial:
        save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, partial)
    write_json(
        folder / "adapter_config.json",
        {
            **_NEUTRAL,
            "base_model_name_or_path": encoder.name,
            "task_type": _TASK_TYPES.get(encoder.task.name if encoder.task else "", "FEATURE_EXTRACTION"),
            "inference_mode": True,
            "r": rank,
            "lora_alpha": first.scale * rank,
            "lora_dropout": first.lora_dropout.p,
            "target_modules": sorted(names[ours] for ours in adapted),
            "modules_to_save": sorted({name.rpartition(".")[0] for name in head}) or None,
        },
    )


def load_adapter(encoder: Encoder, folder: Path) -> None:
    """Add the LoRA of `folder` to the published model it was made for; what it holds of a head replaces the encoder's.

    Raises UnsupportedModel for what is not plain LoRA, CheckpointMismatch where a tensor finds no place.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (ValueError, SafetensorError) as error:
        raise DamagedFile(f"{folder} holds no adapter that can be read ({error}).") from error
    for option, neutral in _NEUTRAL.items():
        if (config.get(option) or neutral) != neutral:
            raise UnsupportedModel(f"{folder}: {option} {config[option]!r} is not plain LoRA, which is all vitrail has")
    ours = {published: name for name, published in published_products(encoder).items()}
    found = {name.removeprefix(_ROOT): tensor for name, tensor in tensors.items()}
    adapted = [name.removesuffix(".lora_A.weight") for name in found if name.endswith(".lora_A.weight")]
    places: dict[str, Tensor] = {}
    if not set(adapted) - set(ours):
        chosen = LoraConfig(
            rank=config["r"],
            alpha=float(config["lora_alpha"]),
            dropout=float(config["lora_dropout"]),
            targets=tuple(ours[name] for name in adapted),
        )
        add_lora(encoder, chosen)
        for name in adapted:
            module = lora_modules(encoder)[ours[name]]
            places |= {f"{name}.lora_A.weight": module.lora_down, f"{name}.lora_B.weight": module.lora_up}
    places |= {name: each for name, each in _head(encoder).items() if name in found}
    if places.keys() != found.keys():
        raise CheckpointMismatch(missing=places.keys() - found.keys(), unexpected=found.keys() - places.keys())
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(found[name])


def published_products(encoder: Encoder) -> dict[str, str]:
    """Our name of each linear map of the encoder -> its published path, as a model with the encoder's head has it.

    A map that is published stacked with others (one matrix for query, key and value) is left out, and refused by name
    where it is adapted.
    """
    if encoder.family.architecture is None:
        raise ExportError("this encoder has a spec of its own, for which no published names exist; save it as a whole")
    layout = encoder.family.weights[0]
    prefix = layout.prefix if _has_published_head(encoder) else ""
    found = {}
    for name, module in encoder.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            source = layout.published(f"{name}.weight", encoder.spec.shared_layers)
            if source.parts == 1:
                found[name] = prefix + source.name.removesuffix(".weight")
            elif name in lora_modules(encoder):
                raise ExportError(f"{name} is published stacked with others in {source.name}, which has no LoRA alone")
    return found


def _has_published_head(encoder: Encoder) -> bool:
    return encoder.task is not None and encoder.task.head is not None and encoder.task.kind in encoder.family.heads


def _head(encoder: Encoder) -> dict[str, Tensor]:
    """Published name -> our own tensor."""
    if not _has_published_head(encoder):
        return {}
    assert encoder.task is not None
    assert encoder.task.head is not None
    head = {name: each.detach() for name, each in encoder.task.head.named_parameters()}
    return published_head_tensors(encoder.family.heads[encoder.task.kind or ""], head, encoder.family.weights[0].prefix)
