"""The nonlinearities of feed-forward networks, by the names specs use.

relu       max(0, x)
gelu       x Φ(x), Φ the normal distribution function ([Hendrycks 2016])
gelu_tanh  x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), GELU's approximation in the original BERT code and GPT-2
silu       x σ(x), also called swish ([Elfwing 2017])

[Hendrycks 2016]: https://arxiv.org/abs/1606.08415
[Elfwing 2017]: https://arxiv.org/abs/1702.03118
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.kernels import triton
from vitrail.layers.taps import listened

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
}


class GatedActivation(nn.Module):
    """f(gate) · up, the product of gated linear units ([Shazeer 2020]): GeGLU with gelu, SwiGLU with silu.

    On a GPU in one pass over memory, unless somebody listens at the function.

    [Shazeer 2020]: https://arxiv.org/abs/2002.05202
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.function = ACTIVATIONS[name]()

    def forward(
        self, up: Float[Tensor, "tokens intermediate"], gate: Float[Tensor, "tokens intermediate"]
    ) -> Float[Tensor, "tokens intermediate"]:
        if triton.runs(up) and up.dtype == gate.dtype and not listened(self.function):
            from vitrail.layers.kernels.triton.gate import gated

            return gated(up, gate, self.name)
        return self.function(gate) * up
