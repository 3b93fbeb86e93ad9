"""The optimisers, as one object whose state has names and can be saved as plain tensors.

adamw  Adam with decoupled weight decay ([Loshchilov 2019]), fused where torch has it
muon   orthogonalised momentum for the matrices inside layers, for training from nothing (muon.py); AdamW for the rest.
       Its updates are scaled to AdamW's size, so one learning rate serves both.

[Loshchilov 2019]: https://arxiv.org/abs/1711.05101
"""

from collections.abc import Mapping, Sequence, Set
from typing import cast

import torch
from torch import Tensor, nn

from vitrail.training.muon import Muon
from vitrail.training.parameter_groups import ParameterGroup
from vitrail.training.sharding import divided_like, whole

OPTIMIZERS = ("adamw", "muon")


class Optimizer:
    """One step over all groups, by one or two optimisers."""

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        *,
        name: str,
        betas: tuple[float, float],
        epsilon: float,
        momentum: float,
    ):
        if name not in OPTIMIZERS:
            raise ValueError(f"optimizer.name {name!r}: choose among {', '.join(OPTIMIZERS)}")
        self._names = {
            parameter: n for group in groups for n, parameter in zip(group.names, group.parameters, strict=True)
        }
        by_muon = [group for group in groups if name == "muon" and group.matrices]
        by_adamw = [group for group in groups if group not in by_muon]
        self._parts: list[torch.optim.Optimizer] = []
        if by_adamw:
            self._parts.append(torch.optim.AdamW(_torch_groups(by_adamw), betas=betas, eps=epsilon, fused=True))
        if by_muon:
            self._parts.append(Muon(_torch_groups(by_muon), momentum=momentum))
        self._rates = [[group["lr"] for group in part.param_groups] for part in self._parts]

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self._names)

    def step(self, factor: float) -> None:
        """Move the weights, at `factor` times each group's learning rate."""
        for part, rates in zip(self._parts, self._rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            part.step()

    def zero_grad(self, in_place: Set[nn.Parameter] = frozenset()) -> None:
        """Drop all gradients; those of `in_place` stay, as zeros."""
        for parameter in self._names:
            if parameter in in_place and parameter.grad is not None:
                parameter.grad.zero_()
            else:
                parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Tensors to be saved, as `name of the parameter|name of the value`; `load` takes them."""
        return {
            f"{self._names[cast(nn.Parameter, parameter)]}|{key}": value
            for part in self._parts
            for parameter, values in part.state.items()
            for key, value in values.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        by_name = {name: parameter for parameter, name in self._names.items()}
        part_of = {each: part for part in self._parts for group in part.param_groups for each in group["params"]}
        for place, value in state.items():
            name, _, key = place.rpartition("|")
            parameter = by_name[name]
            # the count of steps stays where torch keeps it: beside the parameter in fused AdamW
            part_of[parameter].state[parameter][key] = (
                value.to(parameter.device) if key == "step" else divided_like(value, parameter)
            )


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """√ of the sum of squares over all gradients."""
    return whole(torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None]))


def clip_gradients(parameters: Sequence[nn.Parameter], most: float, norm: Tensor) -> None:
    """Scale all gradients, whose norm is `norm`, so that it is at most `most`."""
    if float(norm) > most:
        torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)


def _torch_groups(groups: Sequence[ParameterGroup]) -> list[dict[str, object]]:
    return [
        {"params": list(group.parameters), "lr": group.learning_rate, "weight_decay": group.weight_decay}
        for group in groups
    ]
