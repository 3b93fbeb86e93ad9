// softmax(Q Kᵀ / √d) V of one head of one sequence, a few query rows at a time, so that their scores never leave the
// nearest cache. It is in float32 for both precisions: weights in 255 steps of the largest lose all small ones together
// where one token takes most of the attention, and the time of a whole model would fall by a twentieth only.
//
// The packed weights of the queries carry log₂e / √d already, so a score is an exponent of two.

// The keys of one head, turned into panels: input after input, then key. Missing keys of the last vector are 0.
static void pack_keys(const float* keys, int64_t stride, int length, int head_width, float* out) {
    constexpr int panel = V::lanes * V::vectors;
    for (int first = 0; first < length; first += V::lanes) {
        const int start = first / panel * panel;
        const int left = length - start < panel ? static_cast<int>(padded(length - start, V::lanes)) : panel;
        for (int k = 0; k < head_width; k += V::lanes) {
            F block[V::lanes];
            for (int i = 0; i < V::lanes; i++)
                block[i] = first + i < length ? V::load(keys + (first + i) * stride + k) : V::zero();
            V::transpose(block);
            float* place = out + int64_t(start) * head_width + int64_t(k) * left + (first - start);
            for (int i = 0; i < V::lanes; i++) V::store(place + int64_t(i) * left, block[i]);
        }
    }
}

static void pack_values(const float* values, int64_t stride, int length, int head_width, float* out) {
    for (int i = 0; i < length; i++)
        for (int k = 0; k < head_width; k += V::lanes)
            V::store(out + int64_t(i) * head_width + k, V::load(values + i * stride + k));
}

template <int MR, int NV>
VT_INLINE void score_tile(const float* queries, int64_t stride, const float* keys, int head_width, float* scores,
                          int64_t width) {
    F sums[MR][NV];
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) sums[i][j] = V::zero();
    accumulate(sums, queries, stride, keys, NV * V::lanes, head_width);
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) V::store(scores + i * width + V::lanes * j, sums[i][j]);
}

// Weights instead of scores, not yet divided by their sum, which is returned. Lanes past `length` hold
// anything and are not summed.
VT_INLINE float exponentials(float* scores, int length) {
    const F lowest = V::all(-__builtin_inff());
    F highest = lowest, total = V::zero();
    const int whole = length / V::lanes * V::lanes, rest = length - whole;
    for (int j = 0; j < whole; j += V::lanes) highest = V::max(highest, V::load(scores + j));
    if (rest) highest = V::max(highest, V::keep_first(V::load(scores + whole), rest, lowest));
    const F peak = V::all(V::largest(highest));
    for (int j = 0; j < whole; j += V::lanes) {
        const F weight = power_of_two(V::sub(V::load(scores + j), peak));
        total = V::add(total, weight);
        V::store(scores + j, weight);
    }
    if (rest) {
        const F weight = power_of_two(V::sub(V::load(scores + whole), peak));
        total = V::add(total, V::keep_first(weight, rest, V::zero()));
        V::store(scores + whole, weight);
    }
    return V::sum(total);
}

template <int MR, int NV>
VT_INLINE void context_tile(const float* weights, int64_t width, const float* values, int head_width, int length,
                            const float (&over)[MR], float* out, int64_t stride) {
    F sums[MR][NV];
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) sums[i][j] = V::zero();
    accumulate(sums, weights, width, values, head_width, length);
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) V::store(out + i * stride + V::lanes * j, V::mul(sums[i][j], V::all(over[i])));
}

// MR query rows of one head; their context takes their place.
template <int MR>
static void attend_rows(float* queries, int64_t stride, const Scratch& t, int length, int head_width) {
    constexpr int panel = V::lanes * V::vectors;
    const int width = static_cast<int>(padded(length, V::lanes));
    int start = 0;
    for (; start + panel <= width; start += panel)
        score_tile<MR, V::vectors>(queries, stride, t.keys + int64_t(start) * head_width, head_width, t.scores + start,
                                   width);
    const float* keys = t.keys + int64_t(start) * head_width;
    switch ((width - start) / V::lanes) {
        case 1: score_tile<MR, 1>(queries, stride, keys, head_width, t.scores + start, width); break;
        case 2: score_tile<MR, 2>(queries, stride, keys, head_width, t.scores + start, width); break;
        case 3: score_tile<MR, 3>(queries, stride, keys, head_width, t.scores + start, width); break;
    }
    float over[MR];
    for (int i = 0; i < MR; i++) over[i] = 1.0f / exponentials(t.scores + int64_t(i) * width, length);
    int k = 0;
    if (V::vectors >= 4)
        for (; k + 4 * V::lanes <= head_width; k += 4 * V::lanes)
            context_tile<MR, 4>(t.scores, width, t.values + k, head_width, length, over, queries + k, stride);
    for (; k + 2 * V::lanes <= head_width; k += 2 * V::lanes)
        context_tile<MR, 2>(t.scores, width, t.values + k, head_width, length, over, queries + k, stride);
    if (k < head_width)
        context_tile<MR, 1>(t.scores, width, t.values + k, head_width, length, over, queries + k, stride);
}

static void attend(float* queries, int64_t stride, int heads_width, const Scratch& t, int length, int head_width) {
    pack_keys(queries + heads_width, stride, length, head_width, t.keys);
    pack_values(queries + 2 * heads_width, stride, length, head_width, t.values);
    int row = 0;
    for (; row + V::rows <= length; row += V::rows)
        attend_rows<V::rows>(queries + row * stride, stride, t, length, head_width);
    float* last = queries + row * stride;
    switch (length - row) {
        case 1: attend_rows<1>(last, stride, t, length, head_width); break;
        case 2: attend_rows<2>(last, stride, t, length, head_width); break;
        case 3: attend_rows<3>(last, stride, t, length, head_width); break;
        case 4: attend_rows<4>(last, stride, t, length, head_width); break;
        case 5: attend_rows<5>(last, stride, t, length, head_width); break;
    }
}

// This thread's share of all heads of all sequences.
static void attention(const Model& model, const Chunk& chunk, float* qkv, const Scratch& scratch, const Team& team) {
    const int64_t heads = model.sizes.num_heads, tasks = heads * chunk.sequences;
    for (int64_t task = team.from(tasks); task < team.to(tasks); task++) {
        const int64_t sequence = task / heads, head = task % heads;
        const int first = chunk.starts[sequence], length = chunk.starts[sequence + 1] - first;
        float* queries = qkv + int64_t(first) * model.qkv_width + head * model.head_width;
        if (length) attend(queries, model.qkv_width, model.heads_width(), scratch, length, model.head_width);
    }
}
