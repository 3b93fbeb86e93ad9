// What attention multiplies. A lane of its vectors is 32 bits: a float, or a pair of bfloat16, whose two products one
// instruction adds to a float32 sum. Pairs lie where floats would, in half the room.

struct Floats {
    static constexpr int per_lane = 1;

    VT_INLINE F multiply_add(F a, F b, F sums) { return V::fma(a, b, sums); }
    // The next `lanes` lanes of a row: one vector at most.
    VT_INLINE F along(const float* row, int) { return V::load(row); }
    // One lane of each of a vector of columns, where `rows` rows are left.
    VT_INLINE F down(const float* columns, int64_t, int) { return V::load(columns); }
    // As many vectors as one becomes.
    VT_INLINE F joined(const F (&floats)[1]) { return floats[0]; }
};

#ifdef VT_BF16
struct Pairs {
    static constexpr int per_lane = 2;

    VT_INLINE F multiply_add(F a, F b, F sums) { return V::multiply_add_pairs(a, b, sums); }
    VT_INLINE F along(const float* row, int lanes) {
        return V::pairs_along(V::load(row), 2 * lanes > V::lanes ? V::load(row + V::lanes) : V::zero());
    }
    VT_INLINE F down(const float* columns, int64_t stride, int rows) {
        return V::pairs_across(V::load(columns), rows > 1 ? V::load(columns + stride) : V::zero());
    }
    VT_INLINE F joined(const F (&floats)[2]) { return V::pairs_along(floats[0], floats[1]); }
};
#else
using Pairs = Floats;  // the processor multiplies no pairs
#endif
