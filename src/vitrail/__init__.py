"""vitrail: the Transformer encoder you can see through.

import vitrail

encoder = vitrail.load()                          # the default model; or "bert-base-uncased", or a folder
vectors = encoder.embed(["a text", "another"])    # float32 array (texts, dimensions)
hidden = encoder(input_ids, attention_mask)       # (batch, length, hidden)
"""

from vitrail.api import Embeddings, Encoder, Tokens, load
from vitrail.errors import TruncationWarning, VitrailError
from vitrail.models import DropoutSpec, EncoderSpec
from vitrail.tokenization import Tokenizer

__all__ = [
    "DropoutSpec",
    "Embeddings",
    "Encoder",
    "EncoderSpec",
    "Tokenizer",
    "Tokens",
    "TruncationWarning",
    "VitrailError",
    "load",
]
