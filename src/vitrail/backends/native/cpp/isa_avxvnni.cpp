// The kernels for avxvnni; kernels.inl says how one source serves all.
#define VT_VNNI
#define VT_ISA avxvnni
#define VT_VECTORS "vec_avx2.h"
#include "kernels.inl"
