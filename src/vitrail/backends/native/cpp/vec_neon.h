// Vectors of 4 floats: NEON, with the dot product of Armv8.2. That product takes signed numbers on both sides, so an
// activation is kept 128 lower than elsewhere, and `zero_point` puts that right in its row's lowest value.
#define VT_INLINE static inline __attribute__((always_inline))
#define VT_UNROLL _Pragma("GCC unroll 32")

struct V {
    using F = float32x4_t;
    using I = int32x4_t;
    using Quantised = int8_t;  // of an activation
    // A tile of 6 rows × 4 vectors: 24 sums, 4 weights and 1 activation of the 32 registers.
    static constexpr int lanes = 4, rows = 6, vectors = 4;
    static constexpr int int8_rows = rows, groups = 1, weight_bound = 0;  // see vec_avx2.h
    static constexpr float zero_point = 128.0f;

    VT_INLINE F load(const float* p) { return vld1q_f32(p); }
    VT_INLINE void store(float* p, F v) { vst1q_f32(p, v); }
    VT_INLINE F all(float x) { return vdupq_n_f32(x); }
    VT_INLINE F zero() { return vdupq_n_f32(0.0f); }
    VT_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
    VT_INLINE F sub(F a, F b) { return vsubq_f32(a, b); }
    VT_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
    VT_INLINE F div(F a, F b) { return vdivq_f32(a, b); }
    VT_INLINE F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
    VT_INLINE F min(F a, F b) { return vminq_f32(a, b); }
    VT_INLINE F max(F a, F b) { return vmaxq_f32(a, b); }
    VT_INLINE F nearest(F a) { return vrndnq_f32(a); }
    // a · 2ⁿ for whole n from -126 to 127
    VT_INLINE F times_power(F a, F n) {
        return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23)));
    }
    VT_INLINE F magnitude(F a) { return vabsq_f32(a); }
    VT_INLINE float sum(F a) { return vaddvq_f32(a); }
    VT_INLINE float largest(F a) { return vmaxvq_f32(a); }
    VT_INLINE float smallest(F a) { return vminvq_f32(a); }

    // The first `count` lanes, 0 to 4; the others are untouched memory, or `other`.
    VT_INLINE F load_first(const float* p, int count) {
        if (count == lanes) return load(p);
        float some[lanes] = {};
        for (int i = 0; i < count; i++) some[i] = p[i];
        return load(some);
    }
    VT_INLINE void store_first(float* p, F v, int count) {
        if (count == lanes) return store(p, v);
        float some[lanes];
        store(some, v);
        for (int i = 0; i < count; i++) p[i] = some[i];
    }
    VT_INLINE F keep_first(F v, int count, F other) {
        static constexpr int32_t places[lanes] = {0, 1, 2, 3};
        return vbslq_f32(vcltq_s32(vld1q_s32(places), vdupq_n_s32(count)), v, other);
    }

    VT_INLINE I zero_sums() { return vdupq_n_s32(0); }
    VT_INLINE F to_float(I a) { return vcvtq_f32_s32(a); }
    VT_INLINE I load_weights(const int8_t* p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
    VT_INLINE I all_groups(const Quantised* p) {
        int32_t group;
        __builtin_memcpy(&group, p, sizeof group);
        return vdupq_n_s32(group);
    }
    // sums += Σ over a group of activation · weight
    VT_INLINE void dot(I& sums, const I (&activations)[1], const I (&weights)[1]) {
        sums = vdotq_s32(sums, vreinterpretq_s8_s32(activations[0]), vreinterpretq_s8_s32(weights[0]));
    }
    // Whole numbers from 0 to 255, rounded to nearest, less 128.
    VT_INLINE void store_quantised(Quantised* p, F v) {
        const uint16x4_t words = vqmovun_s32(vcvtnq_s32_f32(v));
        const uint8x8_t whole = vqmovn_u16(vcombine_u16(words, words));
        const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(veor_u8(whole, vdup_n_u8(128))), 0);
        __builtin_memcpy(p, &bytes, sizeof bytes);
    }

    VT_INLINE void transpose(F (&r)[4]) {
        const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
        r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
        r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
        r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
        r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
    }
};
