// The kernels for avx512vnni; kernels.inl says how one source serves all.
#define VT_ISA avx512vnni
#define VT_VECTORS "vec_avx512.h"
#include "kernels.inl"
