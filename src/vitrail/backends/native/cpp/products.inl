// Matrix products. A tile of a few rows and one panel of columns is summed in registers over all inputs; what follows
// the product (bias, GELU, residual) happens while the tile is still there.

enum class Then { keep, gelu, add };  // out = y, out = gelu(y), out += y

// sums += a b: a is MR rows `a_stride` apart; b has NV vectors per input, `b_stride` apart.
template <int MR, int NV>
VT_INLINE void accumulate(F (&sums)[MR][NV], const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                          int depth) {
    for (int k = 0; k < depth; k++, b += b_stride) {
        F column[NV];
        VT_UNROLL for (int j = 0; j < NV; j++)
            column[j] = V::load(b + V::lanes * j);
        VT_UNROLL for (int i = 0; i < MR; i++) {
            const F row = V::all(a[i * a_stride + k]);
            VT_UNROLL for (int j = 0; j < NV; j++)
                sums[i][j] = V::fma(row, column[j], sums[i][j]);
        }
    }
}

// Products in float32.
struct Float32 {
    using Value = float;

    static Rows input(const Activations&, float* floats) { return {floats, nullptr, nullptr}; }
    VT_INLINE F gelu(F x) { return gelu_exact(x); }

    template <int MR, int NV>
    struct Tile {
        F sums[MR][NV];

        VT_INLINE void sum(Tile& tile, const Rows& a, int64_t row, int64_t stride, const Linear& linear, int column) {
            VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
                for (int j = 0; j < NV; j++) tile.sums[i][j] = V::zero();
            const float* weights = static_cast<const float*>(linear.weights) + int64_t(column) * linear.inputs;
            accumulate(tile.sums, static_cast<const float*>(a.data) + row * stride, stride, weights, NV * V::lanes,
                       linear.inputs);
        }
        VT_INLINE F value(const Tile& tile, const Rows&, int64_t, const Linear& linear, int column, int i, int j) {
            return V::add(tile.sums[i][j], V::load(linear.bias + column + V::lanes * j));
        }
    };
};

// Products of quantised activations, x ≈ scale · q + low per row, and weights, w ≈ scale · integer per column.
struct Int8 {
    using Value = V::Quantised;

    static Rows input(const Activations& s, float*) { return s.quantised; }
    VT_INLINE F gelu(F x) { return gelu_near(x); }

    template <int MR, int NV>
    struct Tile {
        V::I sums[MR][NV];

        VT_INLINE void sum(Tile& tile, const Rows& rows, int64_t row, int64_t stride, const Linear& linear,
                           int column) {
            VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
                for (int j = 0; j < NV; j++) tile.sums[i][j] = V::zero_sums();
            const Value* a = static_cast<const Value*>(rows.data) + row * stride;
            const V::Weight* b = static_cast<const V::Weight*>(linear.weights) + int64_t(column) * linear.inputs;
            constexpr int per_vector = V::lanes * V::group;
            for (int k = 0; k < linear.inputs; k += V::group, b += NV * per_vector) {
                V::I weights[NV];
                VT_UNROLL for (int j = 0; j < NV; j++)
                    weights[j] = V::load_weights(b + per_vector * j);
                VT_UNROLL for (int i = 0; i < MR; i++) {
                    const V::I activations = V::all_groups(a + i * stride + k);
                    VT_UNROLL for (int j = 0; j < NV; j++)
                        V::dot(tile.sums[i][j], activations, weights[j]);
                }
            }
        }
        VT_INLINE F value(const Tile& tile, const Rows& rows, int64_t row, const Linear& linear, int column, int i,
                          int j) {
            column += V::lanes * j;
            const F shift =
                V::fma(V::all(rows.low[row + i]), V::load(linear.column_sum + column), V::load(linear.bias + column));
            const F scaled = V::mul(V::to_float(tile.sums[i][j]), V::all(rows.scale[row + i]));
            return V::fma(scaled, V::load(linear.scale + column), shift);
        }
    };
};

template <class Precision, Then then, int MR>
VT_INLINE void tile(const Rows& a, int64_t row, int64_t stride, const Linear& linear, int column, float* out,
                    int64_t width) {
    using Tile = typename Precision::template Tile<MR, V::vectors>;
    Tile sums;
    Tile::sum(sums, a, row, stride, linear, column);
    VT_UNROLL for (int j = 0; j < V::vectors; j++) VT_UNROLL
        for (int i = 0; i < MR; i++) {
            float* place = out + (row + i) * width + column + V::lanes * j;
            F y = Tile::value(sums, a, row, linear, column, i, j);
            if (then == Then::gelu) y = Precision::gelu(y);
            if (then == Then::add) y = V::add(y, V::load(place));
            V::store(place, y);
        }
}

// This thread's panels of out = W a + b for `rows` rows. A row of `a` has `stride` values, one of `out` `width` floats.
template <class Precision, Then then>
void product(const Rows& a, int64_t stride, const Linear& linear, int rows, const Team& team, float* out,
             int64_t width) {
    constexpr int panel = V::lanes * V::vectors;
    const int64_t panels = linear.outputs / panel;
    for (int64_t p = team.from(panels); p < team.to(panels); p++) {
        const int column = static_cast<int>(p) * panel;
        int row = 0;
        for (; row + V::rows <= rows; row += V::rows)
            tile<Precision, then, V::rows>(a, row, stride, linear, column, out, width);
        switch (rows - row) {
            case 1: tile<Precision, then, 1>(a, row, stride, linear, column, out, width); break;
            case 2: tile<Precision, then, 2>(a, row, stride, linear, column, out, width); break;
            case 3: tile<Precision, then, 3>(a, row, stride, linear, column, out, width); break;
            case 4: tile<Precision, then, 4>(a, row, stride, linear, column, out, width); break;
            case 5: tile<Precision, then, 5>(a, row, stride, linear, column, out, width); break;
        }
    }
}
