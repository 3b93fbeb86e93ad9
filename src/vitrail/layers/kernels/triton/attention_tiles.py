"""The kernels of `attention.py`: a tile of rows meets its keys, a tile of keys meets its rows.

Scores are kept in float32, in powers of two. Kernels have no types that a checker knows, and Triton compiles them from
their source: nothing may wrap them.
"""

from typing import no_type_check

import triton
import triton.language as tl

_LOG2_E = tl.constexpr(1.4426950408889634)

# How a batch differs from the last must not mean another compilation.
_VARYING = (
    *("window", "dropout", "seed", "tokens", "farthest", "distances"),
    *("by_query_row", "by_query_head", "by_key_row", "by_key_head"),
)


@triton.jit
@no_type_check
def _rows_of(Data, row_stride, head_stride, rows, head, inside, HEAD_DIM: tl.constexpr, DIMS: tl.constexpr):
    """(rows, DIMS): one head of some rows, zeros outside of them and beyond HEAD_DIM."""
    dims = tl.arange(0, DIMS)
    places = Data + rows.to(tl.int64)[:, None] * row_stride + head * head_stride + dims[None, :]
    return tl.load(places, mask=inside[:, None] & (dims < HEAD_DIM)[None, :], other=0.0)


@triton.jit
@no_type_check
def _keep_rows(Data, values, row_stride, head, rows, inside, HEAD_DIM: tl.constexpr, DIMS: tl.constexpr):
    dims = tl.arange(0, DIMS)
    places = Data + rows.to(tl.int64)[:, None] * row_stride + head * HEAD_DIM + dims[None, :]
    tl.store(places, values.to(Data.dtype.element_ty), mask=inside[:, None] & (dims < HEAD_DIM)[None, :])


@triton.jit
@no_type_check
def _reach(First, End, rows, inside, tokens, window, ROWS: tl.constexpr, WINDOWED: tl.constexpr):
    """The tokens that those of a tile may meet: from, to. Columns grow by one at least, so a token within `window`
    columns is within `window` places.
    """
    lowest = tl.min(tl.load(First + rows, mask=inside, other=tokens), 0)
    highest = tl.max(tl.load(End + rows, mask=inside, other=0), 0)
    if WINDOWED:
        begin = tl.min(rows, 0)
        lowest = tl.maximum(lowest, begin - window)
        highest = tl.minimum(highest, begin + ROWS + window)
    return lowest, highest


@triton.jit
@no_type_check
def _distances(rows, keys, in_rows, in_keys, Columns, COUNTED: tl.constexpr):
    """(rows, keys): the key's column minus the query's."""
    if COUNTED:
        return keys[None, :] - rows[:, None]
    of_rows = tl.load(Columns + rows, mask=in_rows, other=0)
    of_keys = tl.load(Columns + keys, mask=in_keys, other=0)
    return of_keys[None, :] - of_rows[:, None]


@triton.jit
@no_type_check
def _place(token, head, distance, row_stride, head_stride):
    wide = token.to(tl.int64)
    return wide * row_stride + (0 * wide + head) * head_stride + distance


@triton.jit
@no_type_check
def _scores(
    q, k, rows, keys, in_rows, in_keys, head, distance, First, End, ByQuery, ByKey, by_query_row, by_query_head,
    by_key_row, by_key_head, farthest, scale, window,
    CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, BY_QUERY: tl.constexpr, BY_KEY: tl.constexpr,
):  # fmt: skip
    """(rows, keys) scores in powers of two, −∞ where the query does not see the key."""
    first = tl.load(First + rows, mask=in_rows, other=0)
    end = tl.load(End + rows, mask=in_rows, other=0)
    visible = (keys[None, :] >= first[:, None]) & (keys[None, :] < end[:, None]) & in_keys[None, :]
    if CAUSAL:
        visible = visible & (distance <= 0)
    if WINDOWED:
        visible = visible & (tl.abs(distance) <= window)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if BY_QUERY:
        place = _place(rows[:, None], head, distance + farthest, by_query_row, by_query_head)
        scores += tl.load(ByQuery + place, mask=visible, other=0.0)
    if BY_KEY:
        place = _place(keys[None, :], head, distance + farthest, by_key_row, by_key_head)
        scores += tl.load(ByKey + place, mask=visible, other=0.0)
    return tl.where(visible, scores * _LOG2_E, float("-inf"))


@triton.jit
@no_type_check
def _factors(rows, keys, head, seed, dropout):
    """(rows, keys) what dropout multiplies weights with: 0 with its probability, else what keeps the mean."""
    row = rows[:, None] + 0 * keys[None, :]
    key = keys[None, :] + 0 * rows[:, None]
    drawn, _, _, _ = tl.philox(seed, row, key, 0 * row + head, 0 * row)
    return tl.where(tl.uint_to_uniform_float(drawn) >= dropout, 1 / (1 - dropout), 0.0)


@triton.jit(do_not_specialize=_VARYING)
@no_type_check
def forward(
    Out, Exponents,
    Q, K, V, First, End, Columns, ByQuery, ByKey, q_row, q_head, k_row, k_head, v_row, v_head, by_query_row,
    by_query_head, by_key_row, by_key_head, distances, farthest, scale, window, dropout, seed, tokens,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    COUNTED: tl.constexpr, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, BY_QUERY: tl.constexpr, BY_KEY: tl.constexpr,
    DROPPING: tl.constexpr,
):  # fmt: skip
    rows, head, heads = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1), tl.num_programs(1)
    in_rows = rows < tokens
    lowest, highest = _reach(First, End, rows, in_rows, tokens, window, ROWS, WINDOWED)
    if CAUSAL:
        highest = tl.minimum(highest, tl.max(rows, 0) + 1)
    q = _rows_of(Q, q_row, q_head, rows, head, in_rows, HEAD_DIM, DIMS)
    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    context = tl.zeros((ROWS, DIMS), tl.float32)
    spoiled = tl.zeros((ROWS,), tl.int32)
    for start in range(lowest, highest, KEYS):
        keys = start + tl.arange(0, KEYS)
        in_keys = keys < highest
        k = _rows_of(K, k_row, k_head, keys, head // GROUP, in_keys, HEAD_DIM, DIMS)
        v = _rows_of(V, v_row, v_head, keys, head // GROUP, in_keys, HEAD_DIM, DIMS)
        distance = _distances(rows, keys, in_rows, in_keys, Columns, COUNTED)
        scores = _scores(q, k, rows, keys, in_rows, in_keys, head, distance, First, End, ByQuery, ByKey, by_query_row,
                         by_query_head, by_key_row, by_key_head, farthest, scale, window, CAUSAL, WINDOWED, BY_QUERY,
                         BY_KEY)  # fmt: skip
        # 0 · NaN is NaN: a value that is no number must reach its own sequence, and no other
        finite = tl.abs(v) < float("inf")
        v = tl.where(finite, v, 0.0).to(V.dtype.element_ty)
        broken = 1 - tl.min(finite.to(tl.int32), 1)
        spoiled = tl.maximum(spoiled, tl.max(tl.where(scores > float("-inf"), broken[None, :], 0), 1))
        higher = tl.maximum(peak, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # a row that has met no key of its sequence yet
        weights = tl.exp2(scores - base[:, None])
        shrink = tl.exp2(peak - base)
        total = total * shrink + tl.sum(weights, 1)
        if DROPPING:
            weights *= _factors(rows, keys, head, seed, dropout)
        context = context * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        peak = higher
    total = tl.where(in_rows, total, 1.0)
    context = tl.where((spoiled > 0)[:, None], float("nan"), context)
    _keep_rows(Out, context / total[:, None], heads * HEAD_DIM, head, rows, in_rows, HEAD_DIM, DIMS)
    tl.store(Exponents + rows.to(tl.int64) * heads + head, peak + tl.log2(total), mask=in_rows)


@triton.jit
@no_type_check
def _gradients_of_scores(
    scores, rows, keys, in_rows, head, heads, gradient, v, Exponents, Shared, seed, dropout, DROPPING: tl.constexpr
):  # fmt: skip
    """(rows, keys): the weights after dropout, and the gradients of the scores."""
    place = rows.to(tl.int64) * heads + head
    exponent = tl.load(Exponents + place, mask=in_rows, other=0.0)
    shared = tl.load(Shared + place, mask=in_rows, other=0.0)
    weights = tl.exp2(scores - exponent[:, None])
    of_weights = tl.dot(gradient, tl.trans(v), input_precision="ieee")
    kept = weights
    if DROPPING:
        factors = _factors(rows, keys, head, seed, dropout)
        kept = weights * factors
        of_weights *= factors
    return kept, weights * (of_weights - shared[:, None])


@triton.jit(do_not_specialize=_VARYING)
@no_type_check
def backward_queries(
    OfQuery, OfByQuery, OfByKey, Gradient, Exponents, Shared,
    Q, K, V, First, End, Columns, ByQuery, ByKey, q_row, q_head, k_row, k_head, v_row, v_head, by_query_row,
    by_query_head, by_key_row, by_key_head, distances, farthest, scale, window, dropout, seed, tokens,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    COUNTED: tl.constexpr, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, BY_QUERY: tl.constexpr, BY_KEY: tl.constexpr,
    DROPPING: tl.constexpr, OF_BY_QUERY: tl.constexpr, OF_BY_KEY: tl.constexpr,
):  # fmt: skip
    """A tile of queries meets all keys it sees."""
    rows, head, heads = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1), tl.num_programs(1)
    in_rows = rows < tokens
    lowest, highest = _reach(First, End, rows, in_rows, tokens, window, ROWS, WINDOWED)
    if CAUSAL:
        highest = tl.minimum(highest, tl.max(rows, 0) + 1)
    q = _rows_of(Q, q_row, q_head, rows, head, in_rows, HEAD_DIM, DIMS)
    gradient = _rows_of(Gradient, heads * HEAD_DIM, HEAD_DIM, rows, head, in_rows, HEAD_DIM, DIMS)
    found = tl.zeros((ROWS, DIMS), tl.float32)
    for start in range(lowest, highest, KEYS):
        keys = start + tl.arange(0, KEYS)
        in_keys = keys < highest
        k = _rows_of(K, k_row, k_head, keys, head // GROUP, in_keys, HEAD_DIM, DIMS)
        v = _rows_of(V, v_row, v_head, keys, head // GROUP, in_keys, HEAD_DIM, DIMS)
        distance = _distances(rows, keys, in_rows, in_keys, Columns, COUNTED)
        scores = _scores(q, k, rows, keys, in_rows, in_keys, head, distance, First, End, ByQuery, ByKey, by_query_row,
                         by_query_head, by_key_row, by_key_head, farthest, scale, window, CAUSAL, WINDOWED, BY_QUERY,
                         BY_KEY)  # fmt: skip
        _, of_scores = _gradients_of_scores(scores, rows, keys, in_rows, head, heads, gradient, v, Exponents, Shared,
                                            seed, dropout, DROPPING)  # fmt: skip
        if OF_BY_QUERY:
            place = _place(rows[:, None], head, distance + farthest, heads * distances, distances)
            tl.store(OfByQuery + place, of_scores.to(OfByQuery.dtype.element_ty), mask=scores > float("-inf"))
        if OF_BY_KEY:
            place = _place(keys[None, :], head, distance + farthest, heads * distances, distances)
            tl.store(OfByKey + place, of_scores.to(OfByKey.dtype.element_ty), mask=scores > float("-inf"))
        found += tl.dot(of_scores.to(k.dtype), k, input_precision="ieee")
    _keep_rows(OfQuery, found * scale, heads * HEAD_DIM, head, rows, in_rows, HEAD_DIM, DIMS)


@triton.jit(do_not_specialize=_VARYING)
@no_type_check
def backward_keys(
    OfKey, OfValue, Gradient, Exponents, Shared,
    Q, K, V, First, End, Columns, ByQuery, ByKey, q_row, q_head, k_row, k_head, v_row, v_head, by_query_row,
    by_query_head, by_key_row, by_key_head, distances, farthest, scale, window, dropout, seed, tokens,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    COUNTED: tl.constexpr, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, BY_QUERY: tl.constexpr, BY_KEY: tl.constexpr,
    DROPPING: tl.constexpr,
):  # fmt: skip
    """A tile of keys and values meets all queries that see it, of every head that they serve."""
    keys, kv_head = tl.program_id(0) * KEYS + tl.arange(0, KEYS), tl.program_id(1)
    kv_heads = tl.num_programs(1)
    heads = kv_heads * GROUP
    in_keys = keys < tokens
    lowest, highest = _reach(First, End, keys, in_keys, tokens, window, KEYS, WINDOWED)
    if CAUSAL:
        lowest = tl.maximum(lowest, tl.min(keys, 0))
    k = _rows_of(K, k_row, k_head, keys, kv_head, in_keys, HEAD_DIM, DIMS)
    v = _rows_of(V, v_row, v_head, keys, kv_head, in_keys, HEAD_DIM, DIMS)
    of_key = tl.zeros((KEYS, DIMS), tl.float32)
    of_value = tl.zeros((KEYS, DIMS), tl.float32)
    for head in range(kv_head * GROUP, (kv_head + 1) * GROUP):
        for start in range(lowest, highest, ROWS):
            rows = start + tl.arange(0, ROWS)
            in_rows = rows < highest
            q = _rows_of(Q, q_row, q_head, rows, head, in_rows, HEAD_DIM, DIMS)
            gradient = _rows_of(Gradient, heads * HEAD_DIM, HEAD_DIM, rows, head, in_rows, HEAD_DIM, DIMS)
            distance = _distances(rows, keys, in_rows, in_keys, Columns, COUNTED)
            scores = _scores(q, k, rows, keys, in_rows, in_keys, head, distance, First, End, ByQuery, ByKey,
                             by_query_row, by_query_head, by_key_row, by_key_head, farthest, scale, window, CAUSAL,
                             WINDOWED, BY_QUERY, BY_KEY)  # fmt: skip
            kept, of_scores = _gradients_of_scores(scores, rows, keys, in_rows, head, heads, gradient, v, Exponents,
                                                   Shared, seed, dropout, DROPPING)  # fmt: skip
            of_value += tl.dot(tl.trans(kept).to(gradient.dtype), gradient, input_precision="ieee")
            of_key += tl.dot(tl.trans(of_scores).to(q.dtype), q, input_precision="ieee")
    _keep_rows(OfKey, of_key * scale, kv_heads * HEAD_DIM, kv_head, keys, in_keys, HEAD_DIM, DIMS)
    _keep_rows(OfValue, of_value, kv_heads * HEAD_DIM, kv_head, keys, in_keys, HEAD_DIM, DIMS)
