"""One layer of the encoder: attention, then feed-forward, each with a residual and a normalisation."""

from jaxtyping import Float
from torch import Tensor, nn

from vitrail.layers.attention import SelfAttention
from vitrail.layers.dropout import Dropout
from vitrail.layers.feed_forward import FeedForward
from vitrail.layers.packing import Packing
from vitrail.layers.positions.relation import Relation
from vitrail.layers.residual import add_and_normalize
from vitrail.layers.taps import Tap


class EncoderLayer(nn.Module):
    """Gather, then think; what each step finds is added to the stream ([Vaswani 2017], section 3.1).

    norm after the residual ("post"):   x ← norm(x + dropout(attention(x)));   x ← norm(x + dropout(feed_forward(x)))
    norm before the step ("pre"):       x ← x + dropout(attention(norm(x)));   x ← x + dropout(feed_forward(norm(x)))

    A normalisation may be None (ModernBERT's first layer has none before its attention).

    [Vaswani 2017]: https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        attention: SelfAttention,
        feed_forward: FeedForward,
        *,
        attention_norm: nn.Module | None,
        feed_forward_norm: nn.Module | None,
        pre_norm: bool = False,
        attention_dropout: float = 0.0,
        feed_forward_dropout: float = 0.0,
    ):
        """The dropouts are those on the outputs of attention and feed-forward, before they join the stream."""
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = attention
        self.attention_dropout = Dropout(attention_dropout)
        self.attention_norm = attention_norm if attention_norm is not None else nn.Identity()
        self.feed_forward = feed_forward
        self.feed_forward_dropout = Dropout(feed_forward_dropout)
        self.feed_forward_norm = feed_forward_norm if feed_forward_norm is not None else nn.Identity()
        self.output = Tap()

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, relation: Relation | None = None
    ) -> Float[Tensor, "tokens hidden"]:
        if self.pre_norm:
            found = self.attention(self.attention_norm(hidden), packing, relation)
            hidden, normed = add_and_normalize(hidden, found, self.attention_dropout, self.feed_forward_norm)
            hidden = hidden + self.feed_forward_dropout(self.feed_forward(normed))
        else:
            found = self.attention(hidden, packing, relation)
            # the sum itself is let go at once
            hidden = add_and_normalize(hidden, found, self.attention_dropout, self.attention_norm, keep=False)[1]
            found = self.feed_forward(hidden)
            hidden = add_and_normalize(hidden, found, self.feed_forward_dropout, self.feed_forward_norm, keep=False)[1]
        return self.output(hidden)
