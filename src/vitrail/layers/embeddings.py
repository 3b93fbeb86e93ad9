"""From ids to the vectors the first layer reads."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.layers.dropout import Dropout
from vitrail.layers.packing import Packing
from vitrail.layers.positions.learned import LearnedPositions
from vitrail.layers.positions.sinusoidal import SinusoidalPositions


class Embeddings(nn.Module):
    """Sum the vectors of token, token type and position; normalise; drop; project.

    x = dropout(norm(scale · E[id] + T[type] + p)), then W x + b when the embeddings are narrower than the layers
    ("factorised embeddings", [Lan 2019]). Every part but the token's vector may be absent.

    scale: √hidden in the original Transformer ([Vaswani 2017], section 3.4), 1 elsewhere.

    [Lan 2019]: https://arxiv.org/abs/1909.11942
    [Vaswani 2017]: https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        *,
        hidden_size: int | None = None,
        num_token_types: int = 0,
        padding_id: int | None = None,
        positions: SinusoidalPositions | LearnedPositions | None = None,
        normalization: nn.Module | None = None,
        dropout: float = 0.0,
        scale: float = 1.0,
    ):
        """`padding_id`: the row of the token table that is never trained."""
        super().__init__()
        self.scale = scale
        self.tokens = nn.Embedding(vocab_size, embedding_size, padding_idx=padding_id)
        self.token_types = nn.Embedding(num_token_types, embedding_size) if num_token_types else None
        self.positions = positions
        self.normalization = normalization
        self.dropout = Dropout(dropout)
        if hidden_size is None or hidden_size == embedding_size:
            self.projection = None
        else:
            self.projection = nn.Linear(embedding_size, hidden_size)

    def forward(
        self,
        input_ids: Int[Tensor, " tokens"],
        packing: Packing,
        token_type_ids: Int[Tensor, " tokens"] | None = None,
    ) -> Float[Tensor, "tokens hidden"]:
        """`token_type_ids` None: all of type 0. Given to a model without token types, they must be all 0."""
        hidden = self.tokens(input_ids)
        if self.scale != 1.0:
            hidden = hidden * self.scale
        if self.token_types is not None:
            hidden = hidden + (
                self.token_types.weight[0] if token_type_ids is None else self.token_types(token_type_ids)
            )
        elif token_type_ids is not None and token_type_ids.any():
            raise ValueError("token_type_ids holds other than 0, and this model has no token types; leave them out")
        if self.positions is not None:
            hidden = hidden + self.positions(input_ids, packing).to(hidden.dtype)
        if self.normalization is not None:
            hidden = self.normalization(hidden)
        hidden = self.dropout(hidden)
        return hidden if self.projection is None else self.projection(hidden)
