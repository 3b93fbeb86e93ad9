"""Tiny random models of the reference library: one or more for every family, with sizes that are odd and all different.

Weights are large enough that every part shows in the output, norms and biases included; the padding rows of the tables
are not zero, and attention is the reference library's own plain implementation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn

VOCAB_SIZE = 37
MAX_POSITIONS = 23

_SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "max_position_embeddings": MAX_POSITIONS,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
_BERT_DROPOUTS = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2}


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """model_type and options of a tiny model; `dropouts` are different for each place that has an option of its own.

    float64: whether the reference library computes in float64 throughout when asked to. (The softmax of ModernBERT,
        EuroBERT's norms and DeBERTa's scale, stay in float32.)
    """

    model_type: str
    options: Mapping[str, Any]
    dropouts: Mapping[str, float] = field(default_factory=lambda: dict(_BERT_DROPOUTS))
    float64: bool = True

    def config(self, *, dropout: bool = False) -> Any:
        dropouts = {name: value if dropout else 0.0 for name, value in self.dropouts.items()}
        return transformers.AutoConfig.for_model(
            self.model_type, **{**self.options, **dropouts, "attn_implementation": "eager"}
        )

    def build(self, auto_class: Any = transformers.AutoModel, *, dropout: bool = False) -> Any:
        return randomized(auto_class.from_config(self.config(dropout=dropout))).eval()


_DEBERTA = _SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pad_token_id": 0}

ORACLES: dict[str, Oracle] = {
    "bert": Oracle(model_type="bert", options=_SIZES | {"pad_token_id": 0}),
    "roberta": Oracle(model_type="roberta", options=_SIZES | {"pad_token_id": 1, "layer_norm_eps": 1e-5}),
    "xlm-roberta": Oracle(model_type="xlm-roberta", options=_SIZES | {"pad_token_id": 1, "type_vocab_size": 1}),
    "camembert": Oracle(model_type="camembert", options=_SIZES | {"pad_token_id": 3, "type_vocab_size": 1}),
    "distilbert": Oracle(
        model_type="distilbert",
        options={
            "vocab_size": VOCAB_SIZE,
            "dim": 24,
            "n_layers": 3,
            "n_heads": 3,
            "hidden_dim": 29,
            "max_position_embeddings": MAX_POSITIONS,
        },
        dropouts={"dropout": 0.1, "attention_dropout": 0.2},
    ),
    "electra": Oracle(model_type="electra", options=_SIZES | {"embedding_size": 14, "hidden_act": "relu"}),
    "electra, one width": Oracle(model_type="electra", options=_SIZES | {"embedding_size": 24}),
    "albert": Oracle(model_type="albert", options=_SIZES | {"embedding_size": 14}),
    "albert, two groups": Oracle(model_type="albert", options=_SIZES | {"embedding_size": 14, "num_hidden_groups": 2}),
    "mpnet": Oracle(model_type="mpnet", options=_SIZES | {"pad_token_id": 1}),
    "deberta-v2": Oracle(
        model_type="deberta-v2",
        options=_DEBERTA | {"type_vocab_size": 2, "max_relative_positions": 6, "share_att_key": False},
        float64=False,
    ),
    "deberta-v2, one term": Oracle(
        model_type="deberta-v2", options=_DEBERTA | {"pos_att_type": "c2p", "position_buckets": 6}
    ),
    "deberta-v3": Oracle(
        model_type="deberta-v2",
        options=_DEBERTA
        | {
            "position_biased_input": False,
            "share_att_key": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "max_relative_positions": -1,
        },
        float64=False,
    ),
    "modernbert": Oracle(
        model_type="modernbert",
        options=_SIZES | {"num_hidden_layers": 4, "local_attention": 6, "pad_token_id": 1},
        dropouts={"embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3},
        float64=False,
    ),
    "modernbert, with biases": Oracle(
        model_type="modernbert",
        options=_SIZES
        | {
            "pad_token_id": None,
            "local_attention": 9,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
        },
        dropouts={"embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3},
        float64=False,
    ),
    "nomic_bert": Oracle(model_type="nomic_bert", options=_SIZES | {"pad_token_id": 0}),
    "gte": Oracle(model_type="gte", options=_SIZES | {"pad_token_id": 1, "type_vocab_size": 2}),
    "gte, stretched": Oracle(
        model_type="gte",
        options=_SIZES
        | {
            "pad_token_id": 0,
            "type_vocab_size": 0,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 1.7},
        },
    ),
    "eurobert": Oracle(
        model_type="eurobert",
        options=_SIZES | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "pad_token_id": 3},
        dropouts={"attention_dropout": 0.2},
        float64=False,
    ),
    "eurobert, with biases": Oracle(
        model_type="eurobert",
        options=_SIZES | {"attention_bias": True, "mlp_bias": True, "pad_token_id": 3},
        dropouts={"attention_dropout": 0.2},
        float64=False,
    ),
}


@torch.no_grad()
def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with weights that leave no part of it without effect."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        centre = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
        parameter.copy_(centre + 0.25 * torch.randn(parameter.shape, generator=generator))
    return model


@dataclass(frozen=True)
class Batch:
    input_ids: Tensor
    attention_mask: Tensor | None
    token_type_ids: Tensor | None = None

    @property
    def kept(self) -> Tensor:
        return torch.ones_like(self.input_ids).bool() if self.attention_mask is None else self.attention_mask.bool()


def batches(padding_id: int) -> dict[str, Batch]:
    """A padded batch for every way in which rows can be padded and ids can be odd."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, VOCAB_SIZE, (3, 11), generator=generator)
    lengths = torch.tensor([11, 4, 7]).unsqueeze(1)
    right = torch.arange(11) < lengths
    left = right.flip(1)
    holes = torch.rand(ids.shape, generator=generator) < 0.6
    empty = right.clone()
    empty[1] = False
    literal = torch.where(torch.rand(ids.shape, generator=generator) < 0.3, padding_id, ids)
    types = torch.randint(0, 2, ids.shape, generator=generator)
    long = torch.randint(5, VOCAB_SIZE, (2, 18), generator=generator)
    return {
        "no mask": Batch(ids, None),
        "padded on the right": Batch(torch.where(right, ids, padding_id), right.long()),
        "padded on the left": Batch(torch.where(left, ids, padding_id), left.long()),
        "holes in the mask": Batch(ids, holes.long()),
        "an empty row": Batch(torch.where(empty, ids, padding_id), empty.long()),
        "padding ids that are not masked": Batch(literal, right.long()),
        "token types": Batch(torch.where(right, ids, padding_id), right.long(), types),
        "near the longest": Batch(long, (torch.arange(18) < torch.tensor([[18], [12]])).long()),
    }


def reference_hidden(model: Any, batch: Batch) -> Tensor:
    """What the reference gives at the kept places, zero elsewhere."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.token_type_ids is not None:
        given["token_type_ids"] = batch.token_type_ids
    return model(**given).last_hidden_state * batch.kept.unsqueeze(-1)
