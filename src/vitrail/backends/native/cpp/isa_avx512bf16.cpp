// The kernels for avx512bf16; kernels.inl says how one source serves all.
#define VT_BF16
#define VT_ISA avx512bf16
#define VT_VECTORS "vec_avx512.h"
#include "kernels.inl"
