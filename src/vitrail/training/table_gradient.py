"""The gradient of the token table, in memory that stays from step to step.

A step looks up some hundreds of the table's rows, yet autograd answers with a gradient as large as the table, in new
memory for each piece of a window: on a CPU the system then finds and clears its pages, every time, which takes longer
than a layer. So the lookup gives the rows alone (a sparse gradient, which torch adds in place to a dense one that is
there already), and the dense one is set to 0 after each step instead of being thrown away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import nn

from vitrail.api import Encoder


@contextmanager
def kept_table_gradient(encoder: Encoder, *, sharded: bool) -> Iterator[frozenset[nn.Parameter]]:
    """The parameters whose gradient is to be set to 0 in place while this holds: the token table, or none.

    None on a device whose memory is kept by torch already, where the model is divided among processes, and where a head
    shares the table, whose gradient is then dense.
    """
    table = encoder.model.embeddings.tokens
    weight = cast(nn.Parameter, table.weight)
    shared = any(getattr(module, "weight", None) is weight for module in encoder.modules() if module is not table)
    if sharded or shared or not weight.requires_grad or weight.device.type != "cpu":
        yield frozenset()
        return
    table.sparse, weight.grad = True, weight.new_zeros(weight.shape)
    try:
        yield frozenset({weight})
    finally:
        table.sparse, weight.grad = False, None
