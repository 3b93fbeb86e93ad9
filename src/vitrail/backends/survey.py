"""Has a model changed since it was last looked at? Asked for every batch, so the answer must take microseconds.

What a fast path is made from can change in four ways: somebody listens at a point, a weight is replaced or changed in
place, a module is exchanged, another kernel is set. `Surveyor` keeps the dictionaries in which torch's modules hold
hooks, parameters and children, and looks through those instead of walking the tree.
"""

from dataclasses import dataclass

from torch import nn

from vitrail.layers.attention import SelfAttention
from vitrail.layers.kernels import AttentionKernel
from vitrail.models import EncoderModel


@dataclass(frozen=True)
class Survey:
    """A model as it is now. `weights` changes whenever a parameter is replaced or changed in place."""

    watched: bool
    weights: tuple[tuple[int, int], ...]
    kernels: tuple[AttentionKernel, ...]


class Surveyor:
    """Looks at one model, again and again."""

    def __init__(self, model: nn.Module):
        self.model = model
        self._walk()

    def look(self) -> Survey:
        if any(list(children.values()) != seen for children, seen in self._children):
            self._walk()
        parameters = [each for held in self._parameters for each in held.values() if each is not None]
        return Survey(
            any(self._hooks),
            tuple([(each.data_ptr(), each._version) for each in parameters]),
            tuple([each.kernel for each in self._attentions]),
        )

    def _walk(self) -> None:
        modules = list(self.model.modules())
        self._attentions = [each for each in modules if isinstance(each, SelfAttention)]
        self._children = [(each._modules, list(each._modules.values())) for each in modules if each._modules]
        self._parameters = [each._parameters for each in modules if each._parameters]
        self._hooks = [
            hooks for each in modules for hooks in (each._forward_hooks, each._forward_pre_hooks, each._backward_hooks)
        ]


def departure(model: EncoderModel) -> str | None:
    """The first module or parameter that is not what the model's spec describes; None where all are.

    A fast path computes what the spec says, so a model whose modules were exchanged, pruned or overridden must run
    itself.
    """
    described = EncoderModel.without_storage(model.spec)
    wanted, found = _anatomy(described), _anatomy(model)
    return next((name for name in [*wanted, *found] if wanted.get(name) != found.get(name)), None)


def _anatomy(model: nn.Module) -> dict[str, object]:
    """Name -> type of each module (None where its `forward` was overridden) and shape of each parameter."""
    anatomy: dict[str, object] = {
        name: None if "forward" in vars(module) else type(module)
        for name, module in model.named_modules(remove_duplicate=False)
    }
    return anatomy | {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
