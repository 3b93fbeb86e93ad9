"""Self-attention as a module: projections, groups of heads, windows and directions around the kernel."""

import math

import pytest
import torch

from strategies import numbers
from vitrail.layers.attention import SelfAttention
from vitrail.layers.kernels import fused, reference
from vitrail.layers.packing import Packing
from vitrail.layers.positions.rotary import Rotary


def test_attention_of_one_head_is_the_equation_of_the_paper():
    attention, hidden = SelfAttention(4, 1).double(), numbers(3, 4)

    query, key, value = (
        hidden @ each.weight.T + each.bias for each in (attention.query, attention.key, attention.value)
    )
    exponentials = (query @ key.T / math.sqrt(4)).exp()
    context = exponentials / exponentials.sum(dim=1, keepdim=True) @ value
    wanted = context @ attention.output.weight.T + attention.output.bias

    torch.testing.assert_close(attention(hidden, Packing.of([3])), wanted)


def test_heads_are_slices_of_the_projections_that_attend_on_their_own():
    attention, hidden, packing = (
        SelfAttention(6, 2, head_dim=5, output_bias=False).double(),
        numbers(4, 6),
        Packing.of([4]),
    )

    summed = torch.zeros(4, 6, dtype=torch.float64)
    for head in range(2):
        alone, rows = SelfAttention(6, 1, head_dim=5, output_bias=False).double(), slice(5 * head, 5 * head + 5)
        for name in ("query", "key", "value"):
            ours, theirs = getattr(alone, name), getattr(attention, name)
            ours.weight.data, ours.bias.data = theirs.weight.data[rows], theirs.bias.data[rows]
        alone.output.weight.data = attention.output.weight.data[:, rows]
        summed += alone(hidden, packing)

    torch.testing.assert_close(attention(hidden, packing), summed)


def test_grouped_heads_equal_full_attention_with_the_shared_keys_and_values_written_out():
    grouped, full = SelfAttention(6, 4, num_kv_heads=2, head_dim=3).double(), SelfAttention(6, 4, head_dim=3).double()
    full.query, full.output = grouped.query, grouped.output
    for name in ("key", "value"):
        shared, written_out = getattr(grouped, name), getattr(full, name)
        for kind in ("weight", "bias"):
            heads = getattr(shared, kind).data.unflatten(0, (2, 3))
            getattr(written_out, kind).data = torch.stack([heads[0], heads[0], heads[1], heads[1]]).flatten(0, 1)
    hidden, packing = numbers(5, 6), Packing.of([2, 3])

    torch.testing.assert_close(grouped(hidden, packing), full(hidden, packing))
    assert grouped.key.out_features == 6


@pytest.mark.parametrize("kernel", [fused, reference])
@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"causal": True}, [0, 1, 2]),
        ({"window": 1}, [1, 2, 3]),
        ({"window": 0}, [2]),
        ({"window": 1, "causal": True}, [1, 2]),
        ({"window": 99}, [0, 1, 2, 3, 4]),
    ],
)
def test_a_token_depends_on_exactly_the_tokens_it_may_see(kernel, options: dict, seen: list[int]):
    attention = SelfAttention(4, 2, kernel=kernel, **options).double()
    hidden = numbers(7, 4).requires_grad_()

    attention(hidden, Packing.of([5, 2]))[2].sum().backward()

    assert hidden.grad is not None
    assert hidden.grad.abs().sum(dim=1).nonzero().flatten().tolist() == seen


def test_a_window_is_measured_in_columns_so_a_hole_counts():
    attention = SelfAttention(4, 2, window=2).double()
    hidden = numbers(3, 4).requires_grad_()

    attention(hidden, Packing((3,), torch.tensor([0, 2, 3]), plain=False))[2].sum().backward()

    assert hidden.grad is not None
    assert hidden.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1, 2]


def test_rotary_positions_turn_query_and_key_but_not_value():
    plain, turned = SelfAttention(4, 2).double(), SelfAttention(4, 2, rotary=Rotary(2)).double()
    turned.load_state_dict(plain.state_dict())
    hidden = numbers(3, 4)

    assert not torch.allclose(plain(hidden, Packing.of([3])), turned(hidden, Packing.of([3])))
    # a sequence of one token sees itself alone: its value passes through, whatever its column
    late = Packing((1,), torch.tensor([9]), plain=False)
    torch.testing.assert_close(turned(hidden[:1], late), plain(hidden[:1], late))


@pytest.mark.parametrize(("bias", "output_bias"), [(True, False), (False, True)])
def test_biases_are_on_or_off_as_asked(bias: bool, output_bias: bool):
    attention = SelfAttention(4, 2, bias=bias, output_bias=output_bias)

    assert [(each.bias is not None) for each in (attention.query, attention.key, attention.value)] == [bias] * 3
    assert (attention.output.bias is not None) == output_bias


def test_dropout_of_the_weights_acts_in_training_only():
    attention, hidden, packing = SelfAttention(4, 2, dropout=0.9), torch.randn(6, 4), Packing.of([6])

    assert not torch.equal(attention.train()(hidden, packing), attention(hidden, packing))
    assert torch.equal(attention.eval()(hidden, packing), attention(hidden, packing))


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads 5 is not a multiple of num_kv_heads 2"):
        SelfAttention(10, 5, num_kv_heads=2)
    with pytest.raises(ValueError, match="hidden_size 10 is not a multiple of num_heads 3; give head_dim"):
        SelfAttention(10, 3)
