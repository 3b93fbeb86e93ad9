"""Weights laid out for a GPU: query, key and value of a layer come from one product, and the activation happens inside
the product that widens where that is faster (`activated.py`).

Three products read the hidden states three times and fill the device worse than one of their joint width; attention
then reads its three parts in place, as views. Nothing is compiled for a shape and no graph is recorded: every batch has
other lengths, and a step is large enough (tokens_per_step) that the host, which needs some hundredths of a millisecond
for a layer, is far ahead of the device, which needs a millisecond.

Precision is that of the parameters: float32 (without TF32, unless the process allowed it to torch), bfloat16, float16.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.backends.activated import ActivatedFeedForward, activates_faster
from vitrail.layers.attention import SelfAttention
from vitrail.layers.feed_forward import FeedForward
from vitrail.layers.packing import Packing
from vitrail.layers.positions.relation import Relation
from vitrail.models import EncoderModel, EncoderSpec

# Steps beyond it are no faster: the products fill the device, and larger steps overlap less with their transfers.
_MOST_TOKENS = 65536
_LEAST_TOKENS = 1024
# Of the free memory, what a step may take; the rest is for attention's own needs, fragments and other steps' results.
_SHARE = 0.5


class OneProductAttention(SelfAttention):
    """`attention`, whose modules it holds, with one product for query, key and value. Inference only."""

    def __init__(self, attention: SelfAttention):
        nn.Module.__init__(self)
        vars(self).update(vars(attention))
        projections = (attention.query, attention.key, attention.value)
        self.widths = [each.out_features for each in projections]
        self.weight = torch.cat([each.weight.detach() for each in projections])
        biases = [each.bias.detach() for each in projections if each.bias is not None]
        self.bias = torch.cat(biases) if biases else None

    def forward(
        self, hidden: Float[Tensor, "tokens hidden"], packing: Packing, relation: Relation | None = None
    ) -> Float[Tensor, "tokens hidden"]:
        query, key, value = nn.functional.linear(hidden, self.weight, self.bias).split(self.widths, dim=-1)
        context = self.kernel(
            self.placed(query, packing),
            self.placed(key, packing),
            value.unflatten(-1, (-1, self.head_dim)),
            packing,
            scale=self.scale,
            causal=self.causal,
            window=self.window,
            bias=None if relation is None else relation.of_layer(self),
        )
        return self.output(context.flatten(-2))


def can_lay_out(model: EncoderModel) -> bool:
    """Whether the whole model is on one CUDA device."""
    devices = {parameter.device for parameter in model.parameters()}
    return len(devices) == 1 and devices.pop().type == "cuda"


def lay_out(model: EncoderModel) -> EncoderModel:
    """A copy of the model for inference on a GPU, which shares its parameters. Changes of them do not reach it."""
    shared = {id(parameter): parameter for parameter in model.parameters()}
    function = model.spec.activation
    activated: bool | None = None  # timed once, as all layers are of one shape
    laid_out = copy.deepcopy(model, shared)
    done: dict[int, nn.Module] = {}
    for module in list(laid_out.modules()):
        for name, child in list(module.named_children()):
            if type(child) is SelfAttention and _is_plain(child):
                done.setdefault(id(child), OneProductAttention(child))
                setattr(module, name, done[id(child)])
            elif type(child) is FeedForward:
                activated = activates_faster(child, function) if activated is None else activated
                if activated:
                    done.setdefault(id(child), ActivatedFeedForward(child, function))
                    setattr(module, name, done[id(child)])
    return laid_out.eval()


def tokens_per_step(spec: EncoderSpec, *, free_bytes: int, bytes_each: int) -> int:
    """How many tokens a step may hold, so that it takes at most half of the free memory; a power of two.

    Of a token, the widest moment of a layer is in memory: the stream and its residual, with query, key, value and
    context, or with the wide values before and after the activation. A power of two, so that a little less free memory
    does not cut the batches otherwise.
    """
    attention = (2 * spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim
    wide = (3 if spec.gated else 2) * spec.intermediate_size
    bytes_per_token = bytes_each * (3 * spec.hidden_size + max(attention, wide))
    fitting = int(_SHARE * free_bytes) // bytes_per_token
    return min(_MOST_TOKENS, max(_LEAST_TOKENS, 2 ** max(fitting.bit_length() - 1, 0)))


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still use on a CUDA device: the driver's, and what torch keeps unused."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _is_plain(attention: SelfAttention) -> bool:
    """Whether query, key and value are linear modules that can be joined (LoRA's are not)."""
    projections = (attention.query, attention.key, attention.value)
    return (
        all(type(each) is nn.Linear for each in projections) and len({each.bias is None for each in projections}) == 1
    )
