"""A stand-in for `vitrail.Encoder`: vectors from a hash of the text, and failures on demand.

The last number of a vector depends on which texts were in the same call, as rounding does in a real one, so a
resumed job that cuts its batches otherwise is found out.
"""

import hashlib
from types import SimpleNamespace

import numpy as np

from vitrail.errors import InputError

POISON = "POISON"
WINDOW = 8
SIZE = 5


class FakeEncoder:
    hidden_size = dimensions = SIZE
    name, revision, precision = "fake", None, "float32"

    def __init__(self, *, weights="a" * 64, prompts=None):
        self.weights_sha256 = weights
        self.prompts = prompts or {}
        self.default_prompt = None
        self.similarity_name = "cosine"
        self.pooling_spec = SimpleNamespace(modes=("mean",), normalize=False)
        self.runtime = {"device": "cpu"}
        self.calls = []

    def embed_detailed(
        self,
        texts,
        *,
        prompt=None,
        normalize=None,
        dimensions=None,
        overlong="truncate",
        batch_tokens=None,
        show_progress=None,
    ):
        if dimensions is not None and not 0 < dimensions <= SIZE:
            raise ValueError(f"dimensions must be 1 to {SIZE}, not {dimensions}")
        self.calls.append(list(texts))
        for row, text in enumerate(texts):
            if POISON in text:
                raise InputError("this text is poison", row=row)
        prefix = self.prompts.get(prompt, prompt or "")
        vectors = np.array([vector_of(prefix + text) for text in texts], np.float32).reshape(len(texts), SIZE)
        vectors[:, -1] = len(texts)
        lengths = np.array([len(text.split()) for text in texts], np.int64)
        return SimpleNamespace(
            vectors=vectors[:, :dimensions],
            input_tokens=lengths,
            used_tokens=np.minimum(lengths, WINDOW),
            truncated=lengths > WINDOW,
        )

    def tokens(self, texts, *, overlong="truncate"):
        found = []
        for text in texts:
            if POISON in text:
                raise InputError("this text is poison", row=0)
            words = text.split()[:WINDOW]
            found.append(
                SimpleNamespace(
                    ids=np.arange(len(words)),
                    vectors=np.array([vector_of(word) for word in words], np.float32).reshape(len(words), SIZE),
                    offsets=np.array([(text.index(word), text.index(word) + len(word)) for word in words]).reshape(
                        -1, 2
                    ),
                    special=np.zeros(len(words), bool),
                    truncated=len(text.split()) > WINDOW,
                )
            )
        return found


def vector_of(text):
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[: 2 * SIZE], np.uint16) / 1000
