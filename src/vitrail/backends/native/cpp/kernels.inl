// The one source of the kernels, compiled once per instruction set by isa_*.cpp, each with its own flags and vectors.
//
// Everything here lies in an anonymous namespace and uses nothing of the standard library but fixed-size integers: a
// function with a common name, compiled with AVX-512, could otherwise be the copy that the linker keeps for all.
#ifdef __aarch64__
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif
#include <stdint.h>

#include "model.h"

namespace vt {
namespace {

#include VT_VECTORS

using F = V::F;

#include "functions.inl"
#include "operands.inl"
#include "products.inl"
#include "rows.inl"
#include "attention.inl"
#include "encode.inl"

}  // namespace

#define VT_NAME_OF(isa) VT_QUOTED(isa)
#define VT_QUOTED(isa) #isa
const Kernels VT_ISA = {
    VT_NAME_OF(VT_ISA),
    {V::lanes, V::lanes * OfInt8::columns, V::lanes * V::vectors, V::weight_bound},
    OfInt8::rows,
    encode<Float32>,
    encode<Int8>,
#ifdef VT_FP16
    encode<Float16>,
#else
    nullptr,
#endif
};

}  // namespace vt
