"""Low-rank adaptation: a weight stays as it is, and a product of two thin matrices beside it learns ([Hu 2021]).

    y = W x + b + (α / r) · B A dropout(x)        A (r, in) drawn as for a new linear map, B (out, r) zero at first

The adapted product is a `Linear` that holds the weight under its old name, so that points, checkpoints and weight
tables find what they know; `merged` adds B A to W for as long as something is saved.

[Hu 2021]: https://arxiv.org/abs/2106.09685
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vitrail.api import Encoder
from vitrail.layers.dropout import Dropout
from vitrail.training.config import LoraConfig


class LoraLinear(nn.Linear):
    """A linear map whose weight is frozen, with a low-rank update that learns."""

    def __init__(self, linear: nn.Linear, config: LoraConfig):
        has_bias = linear.bias is not None
        super().__init__(linear.in_features, linear.out_features, bias=has_bias, device="meta")
        self.weight = linear.weight
        self.weight.requires_grad_(False)
        if has_bias:
            self.bias = linear.bias
            self.bias.requires_grad_(False)
        like = linear.weight
        self.lora_down = nn.Parameter(torch.empty(config.rank, linear.in_features, dtype=like.dtype))
        self.lora_up = nn.Parameter(torch.zeros(linear.out_features, config.rank, dtype=like.dtype))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))
        self.scale = config.alpha / config.rank
        self.lora_dropout = Dropout(config.dropout)

    def forward(self, input: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        update = functional.linear(functional.linear(self.lora_dropout(input), self.lora_down), self.lora_up)
        return functional.linear(input, self.weight, self.bias) + self.scale * update

    @torch.no_grad()
    def merged_weight(self) -> Float[Tensor, "out_features in_features"]:
        return self.weight + self.scale * (self.lora_up @ self.lora_down)


def add_lora(encoder: Encoder, config: LoraConfig) -> None:
    """Freeze the encoder, and give every product that a target names an update. The head keeps learning in full.

    Raises ValueError for a target that names no linear map of the encoder.
    """
    linears = {name: each for name, each in encoder.model.named_modules() if type(each) is nn.Linear}
    chosen = []
    for target in config.targets:
        found = [name for name in linears if fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")]
        if not found:
            kinds = sorted({name.split(".", 2)[-1] for name in linears})
            raise ValueError(f"lora.targets: {target!r} names no product of this encoder; it has {', '.join(kinds)}")
        chosen += found
    encoder.model.requires_grad_(False)
    for name in dict.fromkeys(chosen):
        _replace(encoder.model, name, LoraLinear(linears[name], config))


def lora_modules(encoder: Encoder) -> dict[str, LoraLinear]:
    """The adapted products by name."""
    return {name: each for name, each in encoder.model.named_modules() if isinstance(each, LoraLinear)}


def merge_lora(encoder: Encoder) -> None:
    """Turn the updates into weights, for good: the encoder then has no LoRA, and the same results in eval mode."""
    for name, module in lora_modules(encoder).items():
        _replace(encoder.model, name, _plain(module))


@contextmanager
def merged(encoder: Encoder) -> Iterator[None]:
    """The encoder with every update merged into its weight, and after that as it was."""
    adapted = lora_modules(encoder)
    for name, module in adapted.items():
        _replace(encoder.model, name, _plain(module))
    try:
        yield
    finally:
        for name, module in adapted.items():
            _replace(encoder.model, name, module)


def _plain(module: LoraLinear) -> nn.Linear:
    linear = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None, device="meta")
    linear.weight = nn.Parameter(module.merged_weight())
    if module.bias is not None:
        linear.bias = module.bias
    return linear


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in place of another; layers that share theirs all see it."""
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, module)
