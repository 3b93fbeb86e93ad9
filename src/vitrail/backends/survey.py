"""Has a model changed since it was last looked at? Asked for every batch, so the answer must take microseconds.

What a fast path is made from can change in three ways: somebody listens at a point, a weight is replaced or changed in
place, a module is exchanged. `Surveyor` keeps the dictionaries in which torch's modules hold hooks, parameters and
children, and looks through those instead of walking the tree.
"""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Survey:
    """A model as it is now. `weights` changes whenever a parameter is replaced or changed in place."""

    watched: bool
    weights: tuple[tuple[int, int], ...]


class Surveyor:
    """Looks at one model, again and again."""

    def __init__(self, model: nn.Module):
        self.model = model
        self._walk()

    def look(self) -> Survey:
        if any(list(children.values()) != seen for children, seen in self._children):
            self._walk()
        parameters = [each for held in self._parameters for each in held.values() if each is not None]
        return Survey(any(self._hooks), tuple([(each.data_ptr(), each._version) for each in parameters]))

    def _walk(self) -> None:
        modules = list(self.model.modules())
        self._children = [(each._modules, list(each._modules.values())) for each in modules if each._modules]
        self._parameters = [each._parameters for each in modules if each._parameters]
        self._hooks = [
            hooks for each in modules for hooks in (each._forward_hooks, each._forward_pre_hooks, each._backward_hooks)
        ]
