"""The heads of encoders whose family has none of the kind: as little as the task needs."""

from vitrail.families.heads import MASKED, SEQUENCE
from vitrail.layers.head import HeadSpec
from vitrail.layers.pooling import Pooling
from vitrail.models import EncoderSpec


def plain_head(kind: str, encoder: EncoderSpec, pooling: Pooling | None, outputs: int) -> HeadSpec:
    """dropout → output, over the first token or the mean as the encoder pools; masked tokens as in BERT."""
    dropout = encoder.dropout.embeddings
    if kind == MASKED:
        return HeadSpec(
            outputs=outputs,
            dense_size=encoder.embedding_size,
            activation=encoder.activation,
            norm_epsilon=encoder.norm_epsilon,
            tied=True,
        )
    if kind == SEQUENCE:
        first = pooling is not None and pooling.spec.modes == ("cls",)
        return HeadSpec(outputs=outputs, pooling="cls" if first else "mean", dropout=dropout)
    return HeadSpec(outputs=outputs, dropout=dropout)
