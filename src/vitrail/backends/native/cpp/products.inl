// Matrix products. A tile of a few rows and one panel of columns is summed in registers over all inputs; what follows
// the product (bias, residual) happens while the tile is still there; activations follow panel by panel.

enum class Then { keep, add };  // out = y, out += y

struct Activation {
    int function;  // VT_GELU …
    bool gated;    // the first half of a panel's vectors is up, the second gate
};

// sums += a b: a is MR rows of `depth` lanes, `a_stride` apart; b has NV vectors per lane, `b_stride` apart. `beside`
// runs at each step.
template <class Operands, int MR, int NV, class Beside>
VT_INLINE void accumulate(F (&sums)[MR][NV], const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                          int depth, Beside& beside) {
    // three rows from each pointer: enough pointers for twelve rows, and registers for all of them
    const float* rows[(MR + 2) / 3];
    VT_UNROLL for (int i = 0; i < MR; i += 3) rows[i / 3] = a + i * a_stride;
    for (int k = 0; k < depth; k++, b += b_stride) {
        beside();
        F column[NV];
        VT_UNROLL for (int j = 0; j < NV; j++)
            column[j] = V::load(b + V::lanes * j);
        VT_UNROLL for (int i = 0; i < MR; i++) {
            const F row = V::all(rows[i / 3][i % 3 * a_stride + k]);
            VT_UNROLL for (int j = 0; j < NV; j++)
                sums[i][j] = Operands::multiply_add(row, column[j], sums[i][j]);
        }
    }
}

template <int MR, int NV>
VT_INLINE void clear(F (&sums)[MR][NV]) {
    VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
        for (int j = 0; j < NV; j++) sums[i][j] = V::zero();
}

// a b in float32, NV vectors of columns: b has NV / Operands::columns vectors per lane.
template <class Operands, int MR, int NV, class Beside>
VT_INLINE void multiply(F (&out)[MR][NV], const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                        int depth, Beside beside) {
    if constexpr (Operands::columns == 1) {
        clear(out);
        accumulate<Operands>(out, a, a_stride, b, b_stride, depth, beside);
    } else {
#ifdef VT_FP16
        for (int k = 0; k < depth; k += most_halves) {
            F sums[MR][NV / 2];
            clear(sums);
            accumulate<Operands>(sums, a + k, a_stride, b + k * b_stride, b_stride,
                                 depth - k < most_halves ? depth - k : most_halves, beside);
            VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
                for (int j = 0; j < NV / 2; j++) {
                    const F first = V::first_halves(sums[i][j]), second = V::second_halves(sums[i][j]);
                    out[i][2 * j] = k ? V::add(out[i][2 * j], first) : first;
                    out[i][2 * j + 1] = k ? V::add(out[i][2 * j + 1], second) : second;
                }
        }
#endif
    }
}

// The next panel's weights, fetched into the second cache while those of this one are multiplied: from the third they
// come too late. A line at each step of a tile, until all are there.
struct Ahead {
    const char *place, *stop;
    int step;  // a line, or 0 where there is nothing left to fetch

    VT_INLINE void fetch(Ahead& ahead) {
        __builtin_prefetch(ahead.place, 0, 2);
        ahead.place += ahead.step;
    }
    // After a tile of so many steps.
    VT_INLINE void move(Ahead& ahead, int64_t steps) {
        ahead.place += ahead.step * steps;
        if (ahead.place >= ahead.stop) ahead.step = 0;
    }
};

// Products of float32, or of float16 in lanes.
template <class Operands>
struct Floating {
    using Value = float;
    using Attention = Operands;
    static constexpr int weight_bytes = 4 / Operands::columns, step = 1, rows = Operands::rows;
    static constexpr bool copied = Operands::columns > 1;

    static Rows input(const Activations& s, float* floats) {
        return copied ? s.copied : Rows{floats, nullptr, nullptr};
    }
    VT_INLINE F gelu(F x) { return gelu_exact(x); }

    template <int MR, int NV>
    struct Tile {
        F sums[MR][NV];

        VT_INLINE void sum(Tile& tile, const Rows& a, int64_t row, int64_t stride, const Linear& linear, int column,
                           Ahead ahead) {
            const float* weights =
                static_cast<const float*>(linear.weights) + int64_t(column) * linear.inputs / Operands::columns;
            multiply<Operands>(tile.sums, static_cast<const float*>(a.data) + row * stride, stride, weights,
                               NV * V::lanes / Operands::columns, linear.inputs, [&] { Ahead::fetch(ahead); });
        }
        VT_INLINE F value(const Tile& tile, const Rows&, int64_t, const Linear& linear, int column, int i, int j) {
            return V::add(tile.sums[i][j], V::load(linear.bias + column + V::lanes * j));
        }
    };
};

using Float32 = Floating<Floats>;
#ifdef VT_FP16
using Float16 = Floating<Halves>;
#endif

// Products of quantised activations, x ≈ scale · q + low per row, and weights, w ≈ scale · integer per column.
struct Int8 {
    using Value = V::Quantised;
    using Attention = OfInt8;
    static constexpr int weight_bytes = 1, step = group * V::groups, rows = V::int8_rows;
    static constexpr bool copied = true;

    static Rows input(const Activations& s, float*) { return s.copied; }
    VT_INLINE F gelu(F x) { return gelu_near(x); }

    template <int MR, int NV>
    struct Tile {
        V::I sums[MR][NV];

        VT_INLINE void sum(Tile& tile, const Rows& rows, int64_t row, int64_t stride, const Linear& linear,
                           int column, Ahead ahead) {
            VT_UNROLL for (int i = 0; i < MR; i++) VT_UNROLL
                for (int j = 0; j < NV; j++) tile.sums[i][j] = V::zero_sums();
            const Value* a = static_cast<const Value*>(rows.data) + row * stride;
            const int8_t* b = static_cast<const int8_t*>(linear.weights) + int64_t(column) * linear.inputs;
            constexpr int per_vector = V::lanes * group;
            for (int k = 0; k < linear.inputs; k += step, b += NV * per_vector * V::groups) {
                Ahead::fetch(ahead);
                V::I weights[NV][V::groups];
                VT_UNROLL for (int j = 0; j < NV; j++) VT_UNROLL
                    for (int g = 0; g < V::groups; g++) weights[j][g] = V::load_weights(b + per_vector * (g * NV + j));
                VT_UNROLL for (int i = 0; i < MR; i++) {
                    V::I activations[V::groups];
                    VT_UNROLL for (int g = 0; g < V::groups; g++)
                        activations[g] = V::all_groups(a + i * stride + k + group * g);
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

// One panel's worth of `rows` rows of y through f; a row of `out` has `width` floats.
template <class Function>
VT_INLINE void activate_with(Function f, bool gated, const float* y, int rows, float* out, int64_t width) {
    constexpr int panel = V::lanes * V::vectors, half = panel / 2;
    for (int i = 0; i < rows; i++, y += panel, out += width) {
        if (gated)
            for (int j = 0; j < half; j += V::lanes)
                V::store(out + j, V::mul(f(V::load(y + half + j)), V::load(y + j)));
        else
            for (int j = 0; j < panel; j += V::lanes) V::store(out + j, f(V::load(y + j)));
    }
}

template <class Precision>
static void activate(const Activation& activation, const float* y, int rows, float* out, int64_t width) {
    const auto with = [&](auto f) { activate_with(f, activation.gated, y, rows, out, width); };
    switch (activation.function) {
        case VT_GELU: with([](F x) { return Precision::gelu(x); }); break;
        case VT_GELU_TANH: with([](F x) { return gelu_tanh(x); }); break;
        case VT_RELU: with([](F x) { return relu(x); }); break;
        case VT_SILU: with([](F x) { return silu(x); }); break;
    }
}

template <class Precision, Then then, int MR>
VT_INLINE void tile(const Rows& a, int64_t row, int64_t stride, const Linear& linear, int column, float* out,
                    int64_t width, Ahead ahead) {
    using Tile = typename Precision::template Tile<MR, V::vectors>;
    Tile sums;
    Tile::sum(sums, a, row, stride, linear, column, ahead);
    VT_UNROLL for (int j = 0; j < V::vectors; j++) VT_UNROLL
        for (int i = 0; i < MR; i++) {
            float* place = out + i * width + V::lanes * j;
            F y = Tile::value(sums, a, row, linear, column, i, j);
            if (then == Then::add) y = V::add(y, V::load(place));
            V::store(place, y);
        }
}

template <class Precision>
static Ahead ahead_of(const Linear& linear, int column) {
    constexpr int panel = V::lanes * V::vectors;
    const int64_t bytes = int64_t(Precision::weight_bytes) * linear.inputs;  // of a column
    const char* next = static_cast<const char*>(linear.weights) + bytes * (column + panel);
    return {next, next + bytes * panel, 64};
}

// One panel for the rows `row` … `end`, the first of them at `out`. Not inlined: GCC 12 spills sums where a call is near.
template <class Precision, Then then>
__attribute__((noinline)) void panel(const Rows& a, int64_t row, int64_t end, int64_t stride, const Linear& linear,
                                     int column, float* out, int64_t width, Ahead& next) {
    Ahead ahead = next;
    for (; row + Precision::rows <= end; row += Precision::rows, out += Precision::rows * width) {
        tile<Precision, then, Precision::rows>(a, row, stride, linear, column, out, width, ahead);
        Ahead::move(ahead, linear.inputs / Precision::step);
    }
    next = ahead;
    if (Precision::rows > V::rows && row + V::rows <= end) {
        tile<Precision, then, V::rows>(a, row, stride, linear, column, out, width, ahead);
        row += V::rows, out += V::rows * width;
    }
    switch (end - row) {
        case 1: tile<Precision, then, 1>(a, row, stride, linear, column, out, width, ahead); break;
        case 2: tile<Precision, then, 2>(a, row, stride, linear, column, out, width, ahead); break;
        case 3: tile<Precision, then, 3>(a, row, stride, linear, column, out, width, ahead); break;
        case 4: tile<Precision, then, 4>(a, row, stride, linear, column, out, width, ahead); break;
        case 5: tile<Precision, then, 5>(a, row, stride, linear, column, out, width, ahead); break;
    }
}

// Calls body(first row, end, column) for this thread's panels, so many rows at a time as stay in the cache.
template <class Body>
VT_INLINE void each_panel(const Linear& linear, int rows, const Team& team, Body body) {
    constexpr int width = V::lanes * V::vectors;
    const int64_t panels = linear.outputs / width;
    for (int64_t row = 0; row < rows; row += rows_in_cache)
        for (int64_t p = team.from(panels); p < team.to(panels); p++)
            body(row, rows - row < rows_in_cache ? rows : row + rows_in_cache, static_cast<int>(p) * width);
}

// This thread's part of out = W a + b, or out += W a + b, for `rows` rows. A row of `a` has `stride` values, one of `out`
// `width` floats.
template <class Precision, Then then>
void product(const Rows& a, int64_t stride, const Linear& linear, int rows, const Team& team, float* out,
             int64_t width) {
    each_panel(linear, rows, team, [&](int64_t row, int64_t end, int column) {
        Ahead next = ahead_of<Precision>(linear, column);
        panel<Precision, then>(a, row, end, stride, linear, column, out + row * width + column, width, next);
    });
}

// The same for out = f(W a + b), or f(gate) · up of the two.
template <class Precision>
void activated_product(const Rows& a, int64_t stride, const Linear& linear, int rows, const Team& team, float* out,
                       int64_t width, const Activation& activation, float* beside) {
    each_panel(linear, rows, team, [&](int64_t row, int64_t end, int column) {
        Ahead next = ahead_of<Precision>(linear, column);
        for (int64_t stop; row < end; row = stop) {
            stop = end - row < rows_beside ? end : row + rows_beside;
            panel<Precision, Then::keep>(a, row, stop, stride, linear, column, beside, V::lanes * V::vectors, next);
            float* place = out + row * width + (activation.gated ? column / 2 : column);
            activate<Precision>(activation, beside, static_cast<int>(stop - row), place, width);
        }
    });
}
