// softmax(Q Kᵀ / √d) V of one head of one sequence, a few query rows at a time, so that their scores never leave the
// nearest cache. All of it is in float32, but in float16 the two products take float16, and in int8 they take the
// shortest floats that the processor multiplies (operands.inl); scores, softmax and context are in float32 there too.
// Weights are never in 255 steps of the largest: that loses all small ones together where one token takes most of the
// attention.
//
// The packed weights of the queries carry log₂e / √d already, so a score is an exponent of two.

// Keys that lie side by side, and so many floats of a row of scores for them.
template <class Operands>
constexpr int keys_abreast = V::lanes * Operands::columns;
template <class Operands>
constexpr int scores_abreast = V::lanes * (Operands::columns > Operands::inputs ? Operands::columns : Operands::inputs);

// The queries of one head become operands in their own place.
template <class Operands>
static void pack_queries(float* queries, int64_t stride, int length, int head_width) {
    const int depth = head_width / Operands::inputs;
    for (int i = 0; i < length; i++, queries += stride)
        for (int k = 0; k < depth; k += V::lanes)
            V::store(queries + k, Operands::along(queries + k * Operands::inputs, columns_left(depth, k)));
}
template <>
void pack_queries<Floats>(float*, int64_t, int, int) {}

// The keys of one head, turned into panels: input after input, then key. Missing keys of the last vector are 0.
template <class Operands>
static void pack_keys(const float* keys, int64_t stride, int length, int head_width, float* out) {
    constexpr int panel = V::lanes * V::vectors, abreast = keys_abreast<Operands>;
    const int depth = head_width / Operands::inputs;
    for (int first = 0; first < length; first += abreast) {
        const int start = first / panel * panel;
        const int left = length - start < panel ? static_cast<int>(padded(length - start, abreast)) : panel;
        for (int k = 0; k < depth; k += V::lanes) {
            const int count = columns_left(depth, k);
            F blocks[Operands::columns][V::lanes];
            for (int c = 0; c < Operands::columns; c++) {
                for (int i = 0; i < V::lanes; i++) {
                    const int number = first + c * V::lanes + i;
                    const float* key = keys + number * stride + k * Operands::inputs;
                    blocks[c][i] = number < length ? Operands::of_column(key, count) : V::zero();
                }
                V::transpose(blocks[c]);
            }
            float* place = out + (int64_t(start) * depth + int64_t(k) * left + (first - start)) / Operands::columns;
            VT_UNROLL for (int i = 0; i < V::lanes; i++)
                if (i < count) {
                    F column[Operands::columns];
                    VT_UNROLL for (int c = 0; c < Operands::columns; c++) column[c] = blocks[c][i];
                    V::store(place + int64_t(i) * left / Operands::columns, Operands::across(column));
                }
        }
    }
}

template <class Operands>
static void pack_values(const float* values, int64_t stride, int length, int head_width, float* out) {
    for (int i = 0; i < length; i += Operands::inputs)
        for (int k = 0; k < head_width; k += keys_abreast<Operands>, out += V::lanes)
            V::store(out, Operands::down(values + i * stride + k, stride, length - i));
}

template <class Operands, int MR, int NV>
VT_INLINE void score_tile(const float* queries, int64_t stride, const float* keys, int keys_stride, int depth,
                          float* scores, int64_t width) {
    F sums[MR][NV];
    multiply<Operands>(sums, queries, stride, keys, keys_stride / Operands::columns, depth, [] {});
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) V::store(scores + i * width + V::lanes * j, sums[i][j]);
}

// Weights instead of scores, as operands, not yet divided by their sum, which is returned. A row of scores is whole
// vectors of operands: what stands past `length` is overwritten, and weighs nothing.
template <class Operands>
VT_INLINE float exponentials(float* scores, int length) {
    constexpr int step = V::lanes * Operands::inputs;
    const F lowest = V::all(-__builtin_inff());
    F highest = lowest, total = V::zero();
    const int end = static_cast<int>(padded(length, step));
    for (int j = length / V::lanes * V::lanes; j < end; j += V::lanes)
        V::store(scores + j, V::keep_first(V::load(scores + j), j < length ? columns_left(length, j) : 0, lowest));
    for (int j = 0; j < end; j += V::lanes) highest = V::max(highest, V::load(scores + j));
    const F peak = V::all(V::largest(highest));
    for (int j = 0; j < end; j += step) {
        F weights[Operands::inputs];
        VT_UNROLL for (int i = 0; i < Operands::inputs; i++) {
            weights[i] = power_of_two(V::sub(V::load(scores + j + V::lanes * i), peak));
            total = V::add(total, weights[i]);
        }
        V::store(scores + j / Operands::inputs, Operands::joined(weights));
    }
    return V::sum(total);
}

template <class Operands, int MR, int NV>
VT_INLINE void context_tile(const float* weights, int64_t width, const float* values, int head_width, int depth,
                            const float (&over)[MR], float* out, int64_t stride) {
    F sums[MR][NV];
    multiply<Operands>(sums, weights, width, values, head_width / Operands::columns, depth, [] {});
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
    constexpr int panel = V::lanes * V::vectors, abreast = keys_abreast<Operands>, c = Operands::columns;
    constexpr int one = c, three = V::vectors < 3 || c > 1 ? c : 3, four = V::vectors < 4 ? c : 4;
    const int head_width = head.width, depth = head_width / Operands::inputs;
    const bool whole = !head.bias && head.step.window < 0 && !head.causal;
    Sight sights[MR];
    for (int i = 0; i < MR && !whole; i++) {
        sight.move(head, query + i);
        sights[i] = sight;
    }
    const int first = whole ? 0 : sights[0].from / abreast * abreast, last = whole ? head.length : sight.to;
    const int end = static_cast<int>(padded(last, abreast)), count = last - first;
    const int64_t width = padded(count, scores_abreast<Operands>);  // of a row of scores
    for (int start = first; start < end;) {
        const int base = start / panel * panel, left = static_cast<int>(padded(head.length, abreast)) - base;
        const int of_panel = left < panel ? left : panel;  // keys in this panel
        const int stop = base + of_panel < end ? base + of_panel : end;
        const float* keys = t.keys + (int64_t(base) * depth + (start - base)) / c;
        float* scores = t.scores + (start - first);
        switch ((stop - start) / V::lanes) {
            case 1: score_tile<Operands, MR, one>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 2: score_tile<Operands, MR, 2>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 3: score_tile<Operands, MR, three>(queries, stride, keys, of_panel, depth, scores, width); break;
            case 4: score_tile<Operands, MR, four>(queries, stride, keys, of_panel, depth, scores, width); break;
        }
        start = stop;
    }
    float over[MR];
    for (int i = 0; i < MR; i++) {
        float* scores = t.scores + int64_t(i) * width;
        if (!whole) adjust(head, sights[i], query + i, first, last, scores);
        over[i] = 1.0f / exponentials<Operands>(scores, count);
    }
    const float* values = t.values + int64_t(first) / Operands::inputs * head_width / c;
    const int lanes = (count + Operands::inputs - 1) / Operands::inputs;  // of a row of weights
    int k = 0;
    if (V::vectors >= 4)
        for (; k + 4 * V::lanes <= head_width; k += 4 * V::lanes)
            context_tile<Operands, MR, four>(t.scores, width, values + k / c, head_width, lanes, over, queries + k, stride);
    for (; k + 2 * V::lanes <= head_width; k += 2 * V::lanes)
        context_tile<Operands, MR, 2>(t.scores, width, values + k / c, head_width, lanes, over, queries + k, stride);
    if (k < head_width)
        context_tile<Operands, MR, one>(t.scores, width, values + k / c, head_width, lanes, over, queries + k, stride);
}

// The largest magnitude among `length` rows; NaN does not count.
static float largest(const float* rows, int64_t stride, int length, int width) {
    F most = V::zero();
    for (int i = 0; i < length; i++, rows += stride)
        for (int k = 0; k < width; k += V::lanes) most = V::max(V::magnitude(V::load(rows + k)), most);
    return V::largest(most);
}

template <class Operands>
static void attend(const Head& head, float* queries, const float* keys, const float* values, int64_t stride,
                   const Scratch& t) {
    if constexpr (Operands::columns > 1)
        if (!Operands::hold(largest(queries, stride, head.length, head.width),
                            largest(keys, stride, head.length, head.width),
                            largest(values, stride, head.length, head.width), head.width))
            return attend<Floats>(head, queries, keys, values, stride, t);
    pack_queries<Operands>(queries, stride, head.length, head.width);
    pack_keys<Operands>(keys, stride, head.length, head.width, t.keys);
    pack_values<Operands>(values, stride, head.length, head.width, t.values);
    Sight sight;
    int row = 0;
    for (; row + Operands::rows <= head.length; row += Operands::rows)
        attend_rows<Operands, Operands::rows>(head, sight, row, queries + row * stride, stride, t);
    if (Operands::rows > V::rows && row + V::rows <= head.length) {
        attend_rows<Operands, V::rows>(head, sight, row, queries + row * stride, stride, t);
        row += V::rows;
    }
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
