"""What users hold: `load`, and the `Encoder` it returns."""

from vitrail.api.embeddings import Embeddings, Tokens
from vitrail.api.encoder import Encoder
from vitrail.api.load_encoder import load

__all__ = ["Embeddings", "Encoder", "Tokens", "load"]
