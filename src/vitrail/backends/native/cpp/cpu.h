// Which instruction set runs: the best the processor and its operating system allow, or the one VITRAIL_ISA names.
#pragma once
#include <string>
#include <vector>

#include "model.h"

namespace vt {

struct Candidate {
    const Kernels* kernels;
    bool available;
};

// What was compiled for this family of processors, the best first (cpu_x86.cpp, cpu_arm.cpp).
std::vector<Candidate> candidates();

// Null and `why` when there is none, or the processor lacks the one named.
const Kernels* choose_kernels(std::string& why);

}  // namespace vt
