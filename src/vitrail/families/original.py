"""The original encoder ([Vaswani 2017]): sinusoidal positions, post-norm, ReLU. `EncoderSpec.original` describes it.

It has no published config.json, so it is saved in vitrail's own format. Its weights carry over from and to torch, whose
TransformerEncoder has the same layers (and, beside these, pre-norm, GELU and a final norm) and no embeddings: with

    plan_loading(TORCH_LAYERS, wanted=…, found=…, layer_numbers=…)      from torch's state_dict to our parameters
    publish(TORCH_LAYERS, tensors, layer_numbers)                       and back

where the parameters are those of `layers` and `final_norm`. Torch keeps query, key and value in one tensor.

[Vaswani 2017]: https://arxiv.org/abs/1706.03762
"""

from vitrail.checkpoints.weight_map import WeightMap

_PROJECTIONS = ("query", "key", "value")

TORCH_LAYERS = WeightMap(
    prefix="",
    table={
        "layers.{}.self_attn.out_proj": "layers.{}.attention.output",
        "layers.{}.norm1": "layers.{}.attention_norm",
        "layers.{}.linear1": "layers.{}.feed_forward.up",
        "layers.{}.linear2": "layers.{}.feed_forward.down",
        "layers.{}.norm2": "layers.{}.feed_forward_norm",
        "norm": "final_norm",
    },
    stacked={
        f"layers.{{}}.self_attn.in_proj_{ending}": tuple(
            f"layers.{{}}.attention.{name}.{ending}" for name in _PROJECTIONS
        )
        for ending in ("weight", "bias")
    },
)
