// What attention multiplies, and the products in float16. A lane of a vector is 32 bits, and holds
//
//   Floats   one float;
//   Pairs    two inputs of one column, as bfloat16: one instruction adds their two products to a float32 sum;
//   Halves   one input of two columns, as float16 (and an input of a row twice): one instruction adds two products to
//            two float16 sums, which go to float32 before they are sums of more than `most_halves`.

struct Floats {
    static constexpr int inputs = 1, columns = 1, rows = V::rows;  // of queries together

    VT_INLINE F multiply_add(F a, F b, F sums) { return V::fma(a, b, sums); }
    // The next `lanes` lanes of a row: one vector at most.
    VT_INLINE F along(const float* row, int) { return V::load(row); }
    // The same of a column.
    VT_INLINE F of_column(const float* row, int) { return V::load(row); }
    // One lane of each of a vector of columns, where `rows` rows are left.
    VT_INLINE F down(const float* columns, int64_t, int) { return V::load(columns); }
    // As many vectors as one becomes, of a row, and of columns.
    VT_INLINE F joined(const F (&floats)[1]) { return floats[0]; }
    VT_INLINE F across(const F (&floats)[1]) { return floats[0]; }
};

#ifdef VT_BF16
struct Pairs {
    static constexpr int inputs = 2, columns = 1, rows = V::rows;

    VT_INLINE F multiply_add(F a, F b, F sums) { return V::multiply_add_pairs(a, b, sums); }
    VT_INLINE F along(const float* row, int lanes) {
        return V::pairs_along(V::load(row), 2 * lanes > V::lanes ? V::load(row + V::lanes) : V::zero());
    }
    VT_INLINE F of_column(const float* row, int lanes) { return along(row, lanes); }
    VT_INLINE F down(const float* columns, int64_t stride, int rows) {
        return V::pairs_across(V::load(columns), rows > 1 ? V::load(columns + stride) : V::zero());
    }
    VT_INLINE F joined(const F (&floats)[2]) { return V::pairs_along(floats[0], floats[1]); }
    VT_INLINE F across(const F (&pairs)[1]) { return pairs[0]; }
};
#endif

// So many products are added up in float16.
constexpr int most_halves = 64;

#ifdef VT_FP16
struct Halves {
    static constexpr int inputs = 1, columns = 2, rows = 2 * V::rows;

    VT_INLINE F multiply_add(F a, F b, F sums) { return V::multiply_add_halves(a, b, sums); }
    VT_INLINE F along(const float* row, int) { return V::doubled(V::load(row)); }
    VT_INLINE F of_column(const float* row, int) { return V::load(row); }
    VT_INLINE F down(const float* columns, int64_t, int) {
        return V::halves(V::load(columns), V::load(columns + V::lanes));
    }
    VT_INLINE F joined(const F (&floats)[1]) { return V::doubled(floats[0]); }
    VT_INLINE F across(const F (&floats)[2]) { return V::halves(floats[0], floats[1]); }
    // Whether float16 has room for attention over such queries, keys and values (the largest of each), and steps fine
    // enough for the values.
    static bool hold(float query, float key, float value, int head_width) {
        constexpr float largest = 65504.0f / 2;
        const auto terms = static_cast<float>(head_width < most_halves ? head_width : most_halves);
        return query <= largest && key <= largest && query * key * terms <= largest && value * most_halves <= largest &&
               value >= 1.0f / 1024;
    }
};
using OfInt8 = Halves;
#elif defined(VT_BF16)
using OfInt8 = Pairs;
#else
using OfInt8 = Floats;
#endif
