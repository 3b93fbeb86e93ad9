// Which instruction set runs: the best the processor and its operating system allow, or the one VITRAIL_ISA names.
#pragma once
#include <string>

#include "model.h"

namespace vt {

// Null and `why` when there is none, or the processor lacks the one named.
const Kernels* choose_kernels(std::string& why);

}  // namespace vt
