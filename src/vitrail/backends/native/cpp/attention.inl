// softmax(Q Kᵀ / √d) V of one head of one sequence, a few query rows at a time, so that their scores never leave the
// nearest cache. All of it is in float32, but in int8 the two products take pairs of bfloat16 where the processor
// multiplies those (operands.inl); sums, scores, softmax and context are in float32 there too. Weights are never in 255
// steps of the largest: that loses all small ones together where one token takes most of the attention.
//
// The packed weights of the queries carry log₂e / √d already, so a score is an exponent of two.

// The queries of one head become operands in their own place.
template <class Operands>
static void pack_queries(float* queries, int64_t stride, int length, int head_width) {
    if (Operands::per_lane == 1) return;
    const int depth = head_width / Operands::per_lane;
    for (int i = 0; i < length; i++, queries += stride)
        for (int k = 0; k < depth; k += V::lanes)
            V::store(queries + k, Operands::along(queries + k * Operands::per_lane, columns_left(depth, k)));
}

// The keys of one head, turned into panels: input after input, then key. Missing keys of the last vector are 0.
template <class Operands>
static void pack_keys(const float* keys, int64_t stride, int length, int head_width, float* out) {
    constexpr int panel = V::lanes * V::vectors;
    const int depth = head_width / Operands::per_lane;
    for (int first = 0; first < length; first += V::lanes) {
        const int start = first / panel * panel;
        const int left = length - start < panel ? static_cast<int>(padded(length - start, V::lanes)) : panel;
        for (int k = 0; k < depth; k += V::lanes) {
            const int count = columns_left(depth, k);
            F block[V::lanes];
            for (int i = 0; i < V::lanes; i++) {
                const float* key = keys + (first + i) * stride + k * Operands::per_lane;
                block[i] = first + i < length ? Operands::along(key, count) : V::zero();
            }
            V::transpose(block);
            float* place = out + int64_t(start) * depth + int64_t(k) * left + (first - start);
            VT_UNROLL for (int i = 0; i < V::lanes; i++)
                if (i < count) V::store(place + int64_t(i) * left, block[i]);
        }
    }
}

template <class Operands>
static void pack_values(const float* values, int64_t stride, int length, int head_width, float* out) {
    for (int i = 0; i < length; i += Operands::per_lane, out += head_width)
        for (int k = 0; k < head_width; k += V::lanes)
            V::store(out + k, Operands::down(values + i * stride + k, stride, length - i));
}

template <class Operands, int MR, int NV>
VT_INLINE void score_tile(const float* queries, int64_t stride, const float* keys, int keys_stride, int depth,
                          float* scores, int64_t width) {
    F sums[MR][NV];
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) sums[i][j] = V::zero();
    accumulate<Operands>(sums, queries, stride, keys, keys_stride, depth);
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) V::store(scores + i * width + V::lanes * j, sums[i][j]);
}

// Weights instead of scores, as operands, not yet divided by their sum, which is returned. A row of scores is whole
// vectors of operands: what stands past `length` is overwritten, and weighs nothing.
template <class Operands>
VT_INLINE float exponentials(float* scores, int length) {
    constexpr int step = V::lanes * Operands::per_lane;
    const F lowest = V::all(-__builtin_inff());
    F highest = lowest, total = V::zero();
    const int end = static_cast<int>(padded(length, step));
    for (int j = length / V::lanes * V::lanes; j < end; j += V::lanes)
        V::store(scores + j, V::keep_first(V::load(scores + j), j < length ? columns_left(length, j) : 0, lowest));
    for (int j = 0; j < end; j += V::lanes) highest = V::max(highest, V::load(scores + j));
    const F peak = V::all(V::largest(highest));
    for (int j = 0; j < end; j += step) {
        F weights[Operands::per_lane];
        VT_UNROLL for (int i = 0; i < Operands::per_lane; i++) {
            weights[i] = power_of_two(V::sub(V::load(scores + j + V::lanes * i), peak));
            total = V::add(total, weights[i]);
        }
        V::store(scores + j / Operands::per_lane, Operands::joined(weights));
    }
    return V::sum(total);
}

template <class Operands, int MR, int NV>
VT_INLINE void context_tile(const float* weights, int64_t width, const float* values, int head_width, int depth,
                            const float (&over)[MR], float* out, int64_t stride) {
    F sums[MR][NV];
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) sums[i][j] = V::zero();
    accumulate<Operands>(sums, weights, width, values, head_width, depth);
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) V::store(out + i * stride + V::lanes * j, V::mul(sums[i][j], V::all(over[i])));
}

// One head of one sequence.
struct Head {
    const Step& step;
    bool causal, plain;
    const int* columns;  // of the sequence
    int length, width;
    const float* bias;  // of distance 0; null: none
};

// The keys that a query sees, from ≤ key < to: a range, as columns grow. It moves on with the query.
struct Sight {
    int from = 0, to = 0;

    void move(const Head& head, int query) {
        const int window = head.step.window, column = head.columns[query];
        while (window >= 0 && head.columns[from] < column - window) from++;
        if (window < 0 && !head.causal) to = head.length;
        const int farthest = head.causal ? column : column + window;
        while (to < head.length && head.columns[to] <= farthest) to++;
    }
};

// Scores of keys from `first` (a multiple of the lanes) on: their bias is added, and keys out of sight get -∞.
static void adjust(const Head& head, const Sight& sight, int query, int first, int last, float* scores) {
    const F log2e = V::all(1.4426950408889634f);
    const int column = head.columns[query];
    if (head.bias && head.plain)
        for (int key = first; key < last; key += V::lanes) {
            const F bias = V::load_first(head.bias + (key - column), columns_left(last, key));
            V::store(scores + key - first, V::fma(bias, log2e, V::load(scores + key - first)));
        }
    else if (head.bias)
        for (int key = first; key < last; key++)
            scores[key - first] += 1.4426950408889634f * head.bias[head.columns[key] - column];
    for (int key = first; key < sight.from; key++) scores[key - first] = -__builtin_inff();
    for (int key = sight.to; key < last; key++) scores[key - first] = -__builtin_inff();
}

// MR query rows of one head, from row `query` on; their context takes their place. Not inlined, for the reason
// that `panel` has.
template <class Operands, int MR>
__attribute__((noinline)) void attend_rows(const Head& head, Sight& sight, int query, float* queries, int64_t stride,
                                           const Scratch& t) {
    constexpr int panel = V::lanes * V::vectors, three = V::vectors < 3 ? 1 : 3, four = V::vectors < 4 ? 1 : 4;
    const int head_width = head.width, depth = head_width / Operands::per_lane;
    Sight sights[MR];
    for (int i = 0; i < MR; i++) {
        sight.move(head, query + i);
        sights[i] = sight;
    }
    const int first = sights[0].from / V::lanes * V::lanes, last = sight.to;
    const int end = static_cast<int>(padded(last, V::lanes)), count = last - first;
    const int64_t width = padded(count, V::lanes * Operands::per_lane);  // of a row of scores
    for (int start = first; start < end;) {
        const int base = start / panel * panel, left = static_cast<int>(padded(head.length, V::lanes)) - base;
        const int of_panel = left < panel ? left : panel;  // keys in this panel
        const int stop = base + of_panel < end ? base + of_panel : end;
        const float* keys = t.keys + int64_t(base) * depth + (start - base);
        float* scores = t.scores + (start - first);
        switch ((stop - start) / V::lanes) {
            case 1: score_tile<Operands, MR, 1>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 2: score_tile<Operands, MR, 2>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 3: score_tile<Operands, MR, three>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 4: score_tile<Operands, MR, four>(queries, stride, keys, of_panel, depth, scores, width); break;
        }
        start = stop;
    }
    const bool whole = !head.bias && head.step.window < 0 && !head.causal;
    float over[MR];
    for (int i = 0; i < MR; i++) {
        float* scores = t.scores + int64_t(i) * width;
        if (!whole) adjust(head, sights[i], query + i, first, last, scores);
        over[i] = 1.0f / exponentials<Operands>(scores, count);
    }
    const float* values = t.values + int64_t(first) / Operands::per_lane * head_width;
    const int lanes = (count + Operands::per_lane - 1) / Operands::per_lane;  // of a row of weights
    int k = 0;
    if (V::vectors >= 4)
        for (; k + 4 * V::lanes <= head_width; k += 4 * V::lanes)
            context_tile<Operands, MR, 4>(t.scores, width, values + k, head_width, lanes, over, queries + k, stride);
    for (; k + 2 * V::lanes <= head_width; k += 2 * V::lanes)
        context_tile<Operands, MR, 2>(t.scores, width, values + k, head_width, lanes, over, queries + k, stride);
    if (k < head_width)
        context_tile<Operands, MR, 1>(t.scores, width, values + k, head_width, lanes, over, queries + k, stride);
}

template <class Operands>
static void attend(const Head& head, float* queries, const float* keys, const float* values, int64_t stride,
                   const Scratch& t) {
    pack_queries<Operands>(queries, stride, head.length, head.width);
    pack_keys<Operands>(keys, stride, head.length, head.width, t.keys);
    pack_values<Operands>(values, stride, head.length, head.width, t.values);
    Sight sight;
    int row = 0;
    for (; row + V::rows <= head.length; row += V::rows)
        attend_rows<Operands, V::rows>(head, sight, row, queries + row * stride, stride, t);
    float* last = queries + row * stride;
    switch (head.length - row) {
        case 1: attend_rows<Operands, 1>(head, sight, row, last, stride, t); break;
        case 2: attend_rows<Operands, 2>(head, sight, row, last, stride, t); break;
        case 3: attend_rows<Operands, 3>(head, sight, row, last, stride, t); break;
        case 4: attend_rows<Operands, 4>(head, sight, row, last, stride, t); break;
        case 5: attend_rows<Operands, 5>(head, sight, row, last, stride, t); break;
    }
}

// This thread's share of all heads of all sequences.
template <class Operands>
static void attention(const Model& model, const Step& step, const Chunk& chunk, float* qkv, const Scratch& scratch,
                      const Team& team) {
    const vt_sizes& sizes = model.sizes;
    const int64_t heads = sizes.num_heads, tasks = heads * chunk.sequences, group = heads / sizes.num_kv_heads;
    for (int64_t task = team.from(tasks); task < team.to(tasks); task++) {
        const int64_t sequence = task / heads, index = task % heads;
        const int first = chunk.starts[sequence], length = chunk.starts[sequence + 1] - first;
        if (!length) continue;
        const Table& biases = model.score_bias;
        const float* bias = biases.data ? biases.data + index * biases.columns + biases.columns / 2 : nullptr;
        const Head head{step, sizes.causal != 0, chunk.plain, chunk.columns + first, length, model.head_width, bias};
        float* row = qkv + int64_t(first) * model.qkv_width;
        const float* keys = row + model.heads_width() + index / group * model.head_width;
        attend<Operands>(head, row + index * model.head_width, keys, keys + model.kv_width(), model.qkv_width, scratch);
    }
}
