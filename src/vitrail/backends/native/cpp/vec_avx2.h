// Vectors of 8 floats: AVX2 with FMA. With VT_VNNI the int8 products use AVX-VNNI's instruction; without it they add up
// four products in 16 bits, which weights are packed for (pack.cpp), and go to 32 bits from there.
#define VT_INLINE static inline __attribute__((always_inline))
#define VT_UNROLL _Pragma("GCC unroll 32")

struct V {
    using F = __m256;
    using I = __m256i;
    using Quantised = uint8_t;  // of an activation
    // A tile of 6 rows × 2 vectors: 12 sums, 2 weights and 1 activation in 16 registers.
    static constexpr int lanes = 8, rows = 6, vectors = 2;
    // Of int8 products: rows of a tile, groups of inputs that dot() takes, what packed weights are bounded by.
#ifdef VT_VNNI
    static constexpr int int8_rows = 6, groups = 1, weight_bound = 0;
#else
    static constexpr int int8_rows = 4, groups = 2, weight_bound = 128;  // 255 · 128 fits into 16 bits
#endif
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
    VT_INLINE I load_weights(const int8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    VT_INLINE I all_groups(const Quantised* p) {
        int group;
        __builtin_memcpy(&group, p, sizeof group);
        return _mm256_set1_epi32(group);
    }
    // sums += Σ over the groups of activation · weight. Assembly, as GCC 12 spills the sums around intrinsics.
    VT_INLINE void dot(I& sums, const I (&activations)[groups], const I (&weights)[groups]) {
#if defined(VT_VNNI) && defined(VITRAIL_EVEX_DOT)
        asm("vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(activations[0]), "x"(weights[0]));
#elif defined(VT_VNNI)
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(activations[0]), "x"(weights[0]));
#else
        const I first = _mm256_maddubs_epi16(activations[0], weights[0]);
        const I second = _mm256_maddubs_epi16(activations[1], weights[1]);
        const I fours = _mm256_madd_epi16(_mm256_add_epi16(first, second), _mm256_set1_epi16(1));
        asm("vpaddd %1, %0, %0" : "+x"(sums) : "x"(fours));
#endif
    }
    // Whole numbers from 0 to 255, rounded to nearest.
    VT_INLINE void store_quantised(Quantised* p, F v) {
        const I whole = _mm256_min_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(255));
        const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
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
