// The processor is asked by cpuid. An instruction set counts only where the operating system also saves its registers
// (xgetbv): a virtual machine may show the one and lack the other.
#include <cpuid.h>

#include <cstdint>

#include "cpu.h"

namespace vt {
namespace {

struct Cpuid {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    Cpuid(uint32_t leaf, uint32_t subleaf) {
        if (__get_cpuid_max(0, nullptr) >= leaf) __cpuid_count(leaf, subleaf, eax, ebx, ecx, edx);
    }
};

bool bit(uint32_t word, int place) { return word >> place & 1; }

uint64_t saved_registers() {
    if (!bit(Cpuid(1, 0).ecx, 27)) return 0;  // OSXSAVE
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t(high) << 32 | low;
}

bool has(uint64_t saved, uint64_t mask) { return (saved & mask) == mask; }

}  // namespace

std::vector<Candidate> candidates() {
    const Cpuid basic(1, 0), extended(7, 0), more(7, 1);
    const uint64_t saved = saved_registers();
    const bool ymm = has(saved, 0x6), zmm = has(saved, 0xe6);
    const bool has_avx2 = ymm && bit(basic.ecx, 12) && bit(extended.ebx, 5);  // FMA, AVX2
    const bool foundation = bit(extended.ebx, 16) && bit(extended.ebx, 17) && bit(extended.ebx, 30) &&
                            bit(extended.ebx, 31);  // AVX-512 F, DQ, BW, VL
    const bool has_avx512vnni = has_avx2 && zmm && foundation && bit(extended.ecx, 11);
    const bool has_avx512bf16 = has_avx512vnni && bit(more.eax, 5);
#ifdef VITRAIL_EVEX_DOT  // a build for tests: AVX-VNNI's kernels in the encoding that AVX-512 processors run
    const bool has_avxvnni = has_avx512vnni;
#else
    const bool has_avxvnni = has_avx2 && bit(more.eax, 4);
#endif
    return {
#ifdef VITRAIL_FP16  // the compiler knew it
        {&avx512fp16, has_avx512vnni && bit(extended.edx, 23)},
#endif
        {&avx512bf16, has_avx512bf16},
        {&avx512vnni, has_avx512vnni},
        {&avxvnni, has_avxvnni},
        {&avx2, has_avx2}};
}

}  // namespace vt
