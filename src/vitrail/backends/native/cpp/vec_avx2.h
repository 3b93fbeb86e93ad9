// Vectors of 8 floats: AVX2 with FMA. With VT_VNNI the int8 products use AVX-VNNI's instruction; without it they
// multiply 16-bit copies of the same numbers, which is exact too (the 8-bit instruction of AVX2 saturates).
#define VT_INLINE static inline __attribute__((always_inline))
#define VT_UNROLL _Pragma("GCC unroll 32")

struct V {
    using F = __m256;
    using I = __m256i;
#ifdef VT_VNNI
    using Quantised = uint8_t;  // of an activation
    using Weight = int8_t;
    static constexpr int group = 4;
#else
    using Quantised = int16_t;
    using Weight = int16_t;
    static constexpr int group = 2;
#endif
    // A tile of 6 rows × 2 vectors: 12 sums, 2 weights and 1 activation in 16 registers.
    static constexpr int lanes = 8, rows = 6, vectors = 2;
    static constexpr float zero_point = 0.0f;  // what a quantised activation is less by

    VT_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
    VT_INLINE void store(float* p, F v) { _mm256_storeu_ps(p, v); }
    VT_INLINE F all(float x) { return _mm256_set1_ps(x); }
    VT_INLINE F zero() { return _mm256_setzero_ps(); }
    VT_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
    VT_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    VT_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    VT_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
    VT_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    VT_INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
    VT_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
    VT_INLINE F nearest(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    // a · 2ⁿ for whole n from -126 to 127
    VT_INLINE F times_power(F a, F n) {
        return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(
                                    _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)));
    }
    VT_INLINE F magnitude(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
    VT_INLINE float sum(F a) {
        const __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
    }
    VT_INLINE float largest(F a) {
        const __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
    }
    VT_INLINE float smallest(F a) { return -largest(_mm256_sub_ps(_mm256_setzero_ps(), a)); }

    // The first `count` lanes, 0 to 8; the others are untouched memory, or `other`.
    VT_INLINE F load_first(const float* p, int count) { return _mm256_maskload_ps(p, first(count)); }
    VT_INLINE void store_first(float* p, F v, int count) { _mm256_maskstore_ps(p, first(count), v); }
    VT_INLINE F keep_first(F v, int count, F other) {
        return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(first(count)));
    }

    VT_INLINE I zero_sums() { return _mm256_setzero_si256(); }
    VT_INLINE F to_float(I a) { return _mm256_cvtepi32_ps(a); }
    VT_INLINE I load_weights(const Weight* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    VT_INLINE I all_groups(const Quantised* p) {
        int group;
        __builtin_memcpy(&group, p, sizeof group);
        return _mm256_set1_epi32(group);
    }
    // sums += Σ over each group of activation · weight. Assembly, as GCC 12 spills the sums around the intrinsics.
    VT_INLINE void dot(I& sums, I activations, I weights) {
#if defined(VT_VNNI) && defined(VITRAIL_EVEX_DOT)
        asm("vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(activations), "x"(weights));
#elif defined(VT_VNNI)
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(activations), "x"(weights));
#else
        I products;
        asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sums), "=&x"(products) : "x"(activations), "x"(weights));
#endif
    }
    // Whole numbers from 0 to 255, rounded to nearest.
    VT_INLINE void store_quantised(Quantised* p, F v) {
        const I whole = _mm256_min_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(255));
        const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
#ifdef VT_VNNI
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#else
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), words);
#endif
    }

    VT_INLINE void transpose(F (&r)[8]) {
        F t[8];
        VT_UNROLL for (int i = 0; i < 8; i += 2) {
            t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        VT_UNROLL for (int i = 0; i < 8; i += 4) {
            r[i] = pairs_low(t[i], t[i + 2]);
            r[i + 1] = pairs_high(t[i], t[i + 2]);
            r[i + 2] = pairs_low(t[i + 1], t[i + 3]);
            r[i + 3] = pairs_high(t[i + 1], t[i + 3]);
        }
        VT_UNROLL for (int c = 0; c < 4; c++) {  // half h of row 4g + c is column 4h + c of rows 4g … 4g + 3
            const F low = r[c], high = r[4 + c];
            r[c] = _mm256_permute2f128_ps(low, high, 0x20);
            r[4 + c] = _mm256_permute2f128_ps(low, high, 0x31);
        }
    }

private:
    VT_INLINE __m256i first(int count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    VT_INLINE F pairs_low(F a, F b) {
        return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    }
    VT_INLINE F pairs_high(F a, F b) {
        return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    }
};
