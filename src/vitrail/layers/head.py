"""What stands on an encoder to answer a task: hidden states to logits.

One module runs every published head, because they differ in numbers only:

    pool → dropout → dense → activation → norm → dropout → output

Each step but the last may be absent. A head that gives logits for every token does not pool; one that pools "late"
takes the mean of the tokens' logits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.activations import ACTIVATIONS
from vitrail.layers.packing import Packing
from vitrail.layers.pooling import POOLING_MODES

HEAD_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {**ACTIVATIONS, "tanh": nn.Tanh}
HEAD_POOLINGS = ("cls", "mean", "late")


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Everything there is to know about a head but its weights.

    pooling: one of HEAD_POOLINGS; None: logits for every token.
    dense_size: None where there is no dense layer, and then no activation either. norm_epsilon: None: no layer norm.
    input_dropout: before the dense layer. dropout: before the output.
    tied: the output's weight is the encoder's table of tokens, and only its bias is the head's.
    """

    outputs: int
    pooling: str | None = None
    input_dropout: float = 0.0
    dense_size: int | None = None
    dense_bias: bool = True
    activation: str | None = None
    norm_epsilon: float | None = None
    norm_bias: bool = True
    dropout: float = 0.0
    output_bias: bool = True
    tied: bool = False

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise ValueError(f"outputs must be at least 1, got {self.outputs}")
        if self.pooling not in (None, *HEAD_POOLINGS):
            raise ValueError(f"pooling {self.pooling!r}: choose among {', '.join(HEAD_POOLINGS)}, or None")
        if (self.dense_size is None) != (self.activation is None):
            raise ValueError(
                "a head has a dense layer and an activation, or neither; set both dense_size and activation"
            )
        if self.activation is not None and self.activation not in HEAD_ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r}: choose among {', '.join(HEAD_ACTIVATIONS)}")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


class Head(nn.Module):
    """The head that a spec describes, on vectors of `hidden_size`."""

    def __init__(self, spec: HeadSpec, hidden_size: int):
        super().__init__()
        self.spec = spec
        width = spec.dense_size or hidden_size
        self.input_dropout = nn.Dropout(spec.input_dropout)
        self.dense = nn.Linear(hidden_size, width, bias=spec.dense_bias) if spec.dense_size else None
        self.activation = HEAD_ACTIVATIONS[spec.activation]() if spec.activation else None
        self.norm = nn.LayerNorm(width, eps=spec.norm_epsilon, bias=spec.norm_bias) if spec.norm_epsilon else None
        self.dropout = nn.Dropout(spec.dropout)
        self.output: nn.Linear | TiedOutput
        if spec.tied:
            self.output = TiedOutput(spec.outputs, bias=spec.output_bias)
        else:
            self.output = nn.Linear(width, spec.outputs, bias=spec.output_bias)

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing | None = None
    ) -> Float[Tensor, "rows outputs"]:
        """Logits, of every sequence of `packing` or, for a head that does not pool, of every row of `hidden`."""
        pooling = self.spec.pooling
        if pooling is None or packing is None:
            return self._logits(hidden)
        # means are taken in float32 at least
        if pooling == "late":
            return POOLING_MODES["mean"](_wide(self._logits(hidden)), packing, 0)
        return self._logits(POOLING_MODES[pooling](_wide(hidden), packing, 0))

    def _logits(self, hidden: Tensor) -> Tensor:
        hidden = self.input_dropout(hidden.to(self._dtype))
        if self.dense is not None and self.activation is not None:
            hidden = self.activation(self.dense(hidden))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.output(self.dropout(hidden))

    @property
    def _dtype(self) -> torch.dtype:
        return self.output.weight.dtype

    @torch.no_grad()
    def initialize(self, deviation: float | None, generator: torch.Generator | None = None) -> None:
        """Weights normal with `deviation` (None: Glorot's uniform), biases 0, norms 1."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                if deviation is None:
                    nn.init.xavier_uniform_(module.weight, generator=generator)
                else:
                    nn.init.normal_(module.weight, std=deviation, generator=generator)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            if isinstance(module, nn.Linear | TiedOutput) and module.bias is not None:
                nn.init.zeros_(module.bias)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class TiedOutput(nn.Module):
    """x Eᵀ + b, where E is the encoder's table of tokens: `tie` says whose. The table is no parameter of the head."""

    def __init__(self, outputs: int, *, bias: bool):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self._owner: list[nn.Module] = []  # in a list, so that torch does not take it for a child

    def tie(self, embeddings: nn.Module) -> None:
        """`embeddings`: the module whose `tokens` is the table; asked for at every use, so it may be replaced."""
        self._owner = [embeddings]

    @property
    def weight(self) -> Tensor:
        if not self._owner:
            raise ValueError("this head shares the encoder's table of tokens; attach its task to an encoder first")
        return self._owner[0].tokens.weight  # type: ignore[union-attr, return-value]

    def forward(self, hidden: Float[Tensor, "rows width"]) -> Float[Tensor, "rows outputs"]:
        return nn.functional.linear(hidden, self.weight, self.bias)
