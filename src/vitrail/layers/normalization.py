"""Normalisation of each token's vector by its own statistics.

layer_norm  γ (x − mean(x)) / √(var(x) + ε) + β   ([Ba 2016]; β may be absent)
rms_norm    γ x / √(mean(x²) + ε)                 ([Zhang 2019])

[Ba 2016]: https://arxiv.org/abs/1607.06450
[Zhang 2019]: https://arxiv.org/abs/1910.07467
"""

from torch import nn

NORMALIZATIONS = ("layer_norm", "rms_norm")


def build_normalization(kind: str, size: int, *, epsilon: float, bias: bool) -> nn.Module:
    """A normalisation over vectors of `size`; `bias` is β of layer_norm and must be False for rms_norm."""
    if kind == "layer_norm":
        return nn.LayerNorm(size, eps=epsilon, bias=bias)
    if kind == "rms_norm":
        if bias:
            raise ValueError("rms_norm has no bias; set norm_bias=False")
        return nn.RMSNorm(size, eps=epsilon)
    raise ValueError(f"normalization {kind!r}: choose among {', '.join(NORMALIZATIONS)}")
