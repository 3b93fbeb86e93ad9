// The kernels for neondot (Arm's NEON with dot products); kernels.inl says how one source serves all.
#define VT_ISA neondot
#define VT_VECTORS "vec_neon.h"
#include "kernels.inl"
