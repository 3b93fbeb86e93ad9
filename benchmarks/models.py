"""The models that are measured: MiniLM-L6 with its real weights, and the shapes of larger ones with drawn weights.

Speed does not depend on the weights' values, so a shape stands for every model that has it. A drawn model gets MiniLM's
tokenizer, mean pooling and normalisation, and the folder opens in every contestant.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BERT = {"model_type": "bert", "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
_BERT |= {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0}
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """config: of the published model, None for MiniLM itself. max_length: the longest text it takes."""

    label: str
    family: str
    config: dict[str, Any] | None
    max_length: int


def _sizes(*sizes: int) -> dict[str, int]:
    return dict(zip(_SIZES, sizes, strict=True))


SHAPES = {
    "minilm": Shape(label="all-MiniLM-L6-v2", family="bert", config=None, max_length=512),
    "bge-small": Shape(
        label="bge-small's shape", family="bert", config={**_BERT, **_sizes(384, 12, 12, 1536)}, max_length=512
    ),
    "bert-base": Shape(
        label="BERT-base's shape", family="bert", config={**_BERT, **_sizes(768, 12, 12, 3072)}, max_length=512
    ),
    "modernbert-base": Shape(
        label="ModernBERT-base's shape",
        family="modernbert",
        config={
            "model_type": "modernbert",
            "vocab_size": 50368,
            "max_position_embeddings": 8192,
            "hidden_activation": "gelu",
            "local_attention": 128,
            "global_attn_every_n_layers": 3,
            "pad_token_id": 0,
            **_sizes(768, 22, 12, 1152),
        },
        max_length=8192,
    ),
}


def make(name: str, folder: Path) -> None:
    """Write the model's folder, unless it is there."""
    from vitrail import Encoder, load
    from vitrail.checkpoints.hub import locate
    from vitrail.families import BY_MODEL_TYPE, Config, spec_of
    from vitrail.models.encoder import EncoderModel

    shape = SHAPES[name]
    if (folder / "config.json").is_file():
        return
    minilm = locate(None).folder
    if shape.config is None:
        shutil.copytree(minilm, folder)
        return
    trained = load(minilm)
    family = BY_MODEL_TYPE[shape.family]
    model = EncoderModel.without_storage(spec_of(family, Config(shape.config))).to_empty(device="cpu")
    model.initialize(0)
    drawn = Encoder(
        model, pooling=trained.pooling, tokenizer=trained.tokenizer, family=family, max_length=shape.max_length
    )
    drawn.save(folder)


def operations(folder: Path, lengths: list[int]) -> int:
    """Operations (a multiply-add is two) that texts of these lengths take in the products of the model in `folder`."""
    from vitrail import load
    from vitrail.models.arithmetic import count_work

    spec = load(folder).model.spec
    of_length = {length: count_work(spec, length).total for length in set(lengths)}
    return 2 * sum(of_length[length] for length in lengths)
