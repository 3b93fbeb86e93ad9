"""The position-wise feed-forward network: each token on its own."""

from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.activations import ACTIVATIONS, GatedActivation
from vitrail.layers.dropout import Dropout


class FeedForward(nn.Module):
    """Widen, bend, narrow ([Vaswani 2017], eq. 2).

    plain:  W_down f(W_up x)
    gated:  W_down (f(W_gate x) · W_up x)   ([Shazeer 2020])

    [Vaswani 2017]: https://arxiv.org/abs/1706.03762
    [Shazeer 2020]: https://arxiv.org/abs/2002.05202
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        activation: str = "gelu",
        gated: bool = False,
        up_bias: bool = True,
        down_bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r}: choose among {', '.join(ACTIVATIONS)}")
        self.up = nn.Linear(hidden_size, intermediate_size, bias=up_bias)
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=up_bias) if gated else None
        self.activation = GatedActivation(activation) if gated else ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=down_bias)

    def forward(self, hidden: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        up = self.up(hidden)
        wide = self.activation(up) if self.gate is None else self.activation(up, self.gate(hidden))
        return self.down(self.dropout(wide))
