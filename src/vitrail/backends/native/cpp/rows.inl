// Steps that look at one token's row at a time: the embeddings' sum, normalisation, quantisation.

VT_INLINE int columns_left(int64_t size, int64_t from) {
    return size - from < V::lanes ? static_cast<int>(size - from) : V::lanes;
}

// γ (x − mean) / √(variance + ε) + β ([Ba 2016]: https://arxiv.org/abs/1607.06450); with rms_norm the mean counts as 0
// ([Zhang 2019]: https://arxiv.org/abs/1910.07467). Without a norm x itself. Padding stays 0; `out` may be `row`.
static void normalize(const vt_sizes& sizes, const float* row, int size, int width, const Norm& norm, float* out) {
    if (!norm.gain) {
        for (int k = 0; k < width && out != row; k += V::lanes) V::store(out + k, V::load(row + k));
        return;
    }
    F total = V::zero(), squares = V::zero();
    if (!sizes.rms_norm)
        for (int k = 0; k < size; k += V::lanes) total = V::add(total, V::load(row + k));  // padding adds 0
    const F mean = V::all(V::sum(total) / static_cast<float>(size));
    for (int k = 0; k < size; k += V::lanes) {
        const F off = V::keep_first(V::sub(V::load(row + k), mean), columns_left(size, k), V::zero());
        squares = V::fma(off, off, squares);
    }
    const float variance = V::sum(squares) / static_cast<float>(size);
    const F over = V::all(1.0f / __builtin_sqrtf(variance + sizes.norm_epsilon));
    for (int k = 0; k < width; k += V::lanes) {
        const F even = V::mul(V::sub(V::load(row + k), mean), over);
        V::store(out + k, V::fma(even, V::load(norm.gain + k), V::load(norm.shift + k)));  // both are 0 in the padding
    }
}

// A row becomes whole numbers with x ≈ scale · q + low, its smallest value 0 and its largest 255 (or each of them less
// by V::zero_point, and `low` what 0 stands for). Infinity and NaN make the scale NaN, so that no bad number is lost.
static void quantise(const float* row, int size, V::Quantised* out, float& scale, float& low) {
    F least = V::load(row), most = least, nothing = V::zero();
    for (int k = 0; k < size; k += V::lanes) {
        const F x = V::load(row + k);
        least = V::min(least, x);
        most = V::max(most, x);
        nothing = V::fma(x, V::zero(), nothing);  // 0, or NaN if any x is not finite
    }
    const float smallest = V::smallest(least), range = V::largest(most) - smallest;
    scale = range / 255.0f + V::sum(nothing);
    low = smallest + V::zero_point * scale;
    const float steps = range > 0.0f ? 255.0f / range : 0.0f;
    const F over = V::all(steps), offset = V::all(-smallest * steps);
    for (int k = 0; k < size; k += V::lanes) V::store_quantised(out + k, V::fma(V::load(row + k), over, offset));
}

// Each group of 8 vectors of a row times the Hadamard matrix over √8, written to `out`. A few values of a hidden
// state, or of a gated product, are many times the others and would take all of the 256 steps; mixed, they share them.
// The packed weights are mixed the same way, and the product is the same, as the matrix is orthogonal ([Ashkboos 2024]).
//
// [Ashkboos 2024]: https://arxiv.org/abs/2404.00456
static void mix_vectors(const float* row, int size, float* out) {
    constexpr int mix = mixed_vectors;
    static_assert(mix == 8, "the factor below is 1/√8");
    for (int start = 0; start < size; start += mix * V::lanes) {
        F v[mix];
        VT_UNROLL for (int i = 0; i < mix; i++)
            v[i] = V::mul(V::load(row + start + V::lanes * i), V::all(0.35355339059f));
        VT_UNROLL for (int step = 1; step < mix; step *= 2) VT_UNROLL
            for (int i = 0; i < mix; i++)
                if (!(i & step)) {
                    const F a = v[i], b = v[i + step];
                    v[i] = V::add(a, b);
                    v[i + step] = V::sub(a, b);
                }
        VT_UNROLL for (int i = 0; i < mix; i++)
            V::store(out + start + V::lanes * i, v[i]);
    }
}

// Row `r` of the next product's input, from floats; nothing to do in float32.
template <class Precision>
VT_INLINE void hand_over(const float*, int, int64_t, const Activations&) {}
template <>
void hand_over<Int8>(const float* floats, int size, int64_t r, const Activations& s) {
    quantise(floats, size, static_cast<V::Quantised*>(s.copied.data) + r * size, s.copied.scale[r], s.copied.low[r]);
}
#ifdef VT_FP16
template <>
void hand_over<Float16>(const float* floats, int size, int64_t r, const Activations& s) {
    float* lanes = static_cast<float*>(s.copied.data) + r * size;
    for (int k = 0; k < size; k += V::lanes) V::store(lanes + k, Halves::along(floats + k, V::lanes));
}
#endif

// The same, in int8 mixed first.
template <class Precision>
VT_INLINE void hand_over_mixed(const float* floats, int size, int64_t r, const Activations& s, const Scratch&) {
    hand_over<Precision>(floats, size, r, s);
}
template <>
void hand_over_mixed<Int8>(const float* floats, int size, int64_t r, const Activations& s, const Scratch& t) {
    mix_vectors(floats, size, t.row);
    hand_over<Int8>(t.row, size, r, s);
}

// norm(scale · token + type + position)
static void embed(const Model& model, const Chunk& chunk, int64_t r, float* row) {
    const int64_t token = chunk.tokens[r], size = model.sizes.embedding_size;
    const F scale = V::all(model.sizes.embedding_scale);
    const float* of_token = model.token_table + chunk.ids[token] * size;
    const float* of_position = model.positions.data;
    if (of_position) of_position += chunk.positions[token] * size;
    const float* of_type = model.type_table;
    if (of_type && chunk.types) of_type += chunk.types[token] * size;
    for (int64_t k = 0; k < model.embedding_width; k += V::lanes) {
        const int count = k < size ? columns_left(size, k) : 0;
        F x = V::mul(V::load_first(of_token + k, count), scale);
        if (of_type) x = V::add(x, V::load_first(of_type + k, count));
        if (of_position) x = V::add(x, V::load_first(of_position + k, count));
        V::store(row + k, x);
    }
    normalize(model.sizes, row, model.sizes.embedding_size, model.embedding_width, model.embedding_norm, row);
}

// Queries and keys of one row, turned: (x, y) → (x cos − y sin, y cos + x sin) for the dimensions (i, i + rotary_dim/2)
// ([Su 2021]: https://arxiv.org/abs/2104.09864). `waves`: the cosines of the row's column, then the sines.
static void rotate(const Model& model, const float* waves, float* row) {
    const int pairs = model.sizes.rotary_dim / 2, heads = model.sizes.num_heads + model.sizes.num_kv_heads;
    for (int head = 0; head < heads; head++, row += model.head_width)
        for (int k = 0; k < pairs; k += V::lanes) {
            const int count = columns_left(pairs, k);
            const F cosine = V::load_first(waves + k, count), sine = V::load_first(waves + pairs + k, count);
            const F x = V::load_first(row + k, count), y = V::load_first(row + pairs + k, count);
            V::store_first(row + k, V::sub(V::mul(x, cosine), V::mul(y, sine)), count);
            V::store_first(row + pairs + k, V::fma(y, cosine, V::mul(x, sine)), count);
        }
}
