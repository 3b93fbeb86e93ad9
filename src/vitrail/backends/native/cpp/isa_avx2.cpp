// The kernels for avx2; kernels.inl says how one source serves all.
#define VT_ISA avx2
#define VT_VECTORS "vec_avx2.h"
#include "kernels.inl"
