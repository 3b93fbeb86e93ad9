// Vectors of 16 floats: AVX-512 with VNNI; with VT_BF16 also pairs of bfloat16, with VT_FP16 two float16 in each lane.
#define VT_INLINE static inline __attribute__((always_inline))
#define VT_UNROLL _Pragma("GCC unroll 32")

struct V {
    using F = __m512;
    using I = __m512i;
    using Quantised = uint8_t;  // of an activation
    // A tile of 6 rows × 4 vectors: 24 sums, 4 weights and 1 activation fill the 32 registers.
    static constexpr int lanes = 16, rows = 6, vectors = 4;
    static constexpr int int8_rows = rows, groups = 1, weight_bound = 0;  // see vec_avx2.h
    static constexpr float zero_point = 0.0f;  // what a quantised activation is less by

    VT_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
    VT_INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
    VT_INLINE F all(float x) { return _mm512_set1_ps(x); }
    VT_INLINE F zero() { return _mm512_setzero_ps(); }
    VT_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
    VT_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    VT_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    VT_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
    VT_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    VT_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
    VT_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
    VT_INLINE F nearest(F a) { return _mm512_roundscale_ps(a, 8); }
    // a · 2ⁿ for whole n from -126 to 127
    VT_INLINE F times_power(F a, F n) { return _mm512_scalef_ps(a, n); }
    VT_INLINE F magnitude(F a) { return _mm512_abs_ps(a); }
    VT_INLINE float sum(F a) { return _mm512_reduce_add_ps(a); }
    VT_INLINE float largest(F a) { return _mm512_reduce_max_ps(a); }
    VT_INLINE float smallest(F a) { return _mm512_reduce_min_ps(a); }

    // The first `count` lanes, 0 to 16; the others are untouched memory, or `other`.
    VT_INLINE F load_first(const float* p, int count) { return _mm512_maskz_loadu_ps(first(count), p); }
    VT_INLINE void store_first(float* p, F v, int count) { _mm512_mask_storeu_ps(p, first(count), v); }
    VT_INLINE F keep_first(F v, int count, F other) { return _mm512_mask_blend_ps(first(count), other, v); }

    VT_INLINE I zero_sums() { return _mm512_setzero_si512(); }
    VT_INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
    VT_INLINE I load_weights(const int8_t* p) { return _mm512_loadu_si512(p); }
    VT_INLINE I all_groups(const Quantised* p) {
        int group;
        __builtin_memcpy(&group, p, sizeof group);
        return _mm512_set1_epi32(group);
    }
    // sums += Σ over a group of activation · weight. Assembly, as GCC 12 spills the sums around the intrinsic.
    VT_INLINE void dot(I& sums, const I (&activations)[1], const I (&weights)[1]) {
        asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(activations[0]), "v"(weights[0]));
    }
    // Whole numbers from 0 to 255, rounded to nearest.
    VT_INLINE void store_quantised(Quantised* p, F v) {
        const I whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(whole));
    }

#ifdef VT_BF16
    // sums += a₀ b₀ + a₁ b₁ of the pairs in each lane
    VT_INLINE F multiply_add_pairs(F a, F b, F sums) { return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)b); }
    // Pairs of neighbours, each number rounded to the nearest bfloat16: those of `a`, then those of `b`.
    VT_INLINE F pairs_along(F a, F b) { return (F)_mm512_cvtne2ps_pbh(b, a); }
    // Pairs of a lane of `a` and the same lane of `b`.
    VT_INLINE F pairs_across(F a, F b) {
        const I low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
        const I high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
        return (F)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
    }
#endif

#ifdef VT_FP16
    // In each half of a lane: sums + a b. Assembly, as GCC 12 moves the sums about around the intrinsic.
    VT_INLINE F multiply_add_halves(F a, F b, F sums) {
        asm("vfmadd231ph %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
        return sums;
    }
    // The numbers of `a`, then those of `b`, each rounded to the nearest float16.
    VT_INLINE F halves(F a, F b) {
        return (F)_mm512_inserti64x4(_mm512_castsi256_si512(to_halves(a)), to_halves(b), 1);
    }
    // Each number rounded, in both halves of its lane.
    VT_INLINE F doubled(F a) {
        const I twice = _mm512_set_epi32(0xf000f, 0xe000e, 0xd000d, 0xc000c, 0xb000b, 0xa000a, 0x90009, 0x80008, 0x70007,
                                         0x60006, 0x50005, 0x40004, 0x30003, 0x20002, 0x10001, 0);
        return (F)_mm512_permutexvar_epi16(twice, _mm512_castsi256_si512(to_halves(a)));
    }
    // The first and the second 16 of 32 halves.
    VT_INLINE F first_halves(F a) { return _mm512_cvtph_ps(_mm512_castsi512_si256((I)a)); }
    VT_INLINE F second_halves(F a) { return _mm512_cvtph_ps(_mm512_extracti64x4_epi64((I)a, 1)); }
#endif

    VT_INLINE void transpose(F (&r)[16]) {
        F t[16];
        VT_UNROLL for (int i = 0; i < 16; i += 2) {
            t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        VT_UNROLL for (int i = 0; i < 16; i += 4) {
            r[i] = pairs_low(t[i], t[i + 2]);
            r[i + 1] = pairs_high(t[i], t[i + 2]);
            r[i + 2] = pairs_low(t[i + 1], t[i + 3]);
            r[i + 3] = pairs_high(t[i + 1], t[i + 3]);
        }
        VT_UNROLL for (int c = 0; c < 4; c++) {  // quarter q of row 4g + c is column 4q + c of rows 4g … 4g + 3
            const F a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44), b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
            const F d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44);
            const F e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
            r[c] = _mm512_shuffle_f32x4(a, d, 0x88);
            r[4 + c] = _mm512_shuffle_f32x4(a, d, 0xdd);
            r[8 + c] = _mm512_shuffle_f32x4(b, e, 0x88);
            r[12 + c] = _mm512_shuffle_f32x4(b, e, 0xdd);
        }
    }

private:
#ifdef VT_FP16
    VT_INLINE __m256i to_halves(F a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#endif
    VT_INLINE __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1); }
    VT_INLINE F pairs_low(F a, F b) {
        return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
    VT_INLINE F pairs_high(F a, F b) {
        return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
};
