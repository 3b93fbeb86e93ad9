// The kernels for avx512fp16; kernels.inl says how one source serves all.
#define VT_FP16
#define VT_ISA avx512fp16
#define VT_VECTORS "vec_avx512.h"
#include "kernels.inl"
