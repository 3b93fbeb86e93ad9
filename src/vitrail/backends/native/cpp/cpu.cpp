// The choice among what was compiled; asked anew at each call, as VITRAIL_ISA may change.
#include "cpu.h"

#include <cstdlib>

namespace vt {

const Kernels* choose_kernels(std::string& why) {
    const char* named = std::getenv("VITRAIL_ISA");
    const std::string wanted = named ? named : "";
    std::string known;
    for (const Candidate& candidate : candidates()) {
        const std::string name = candidate.kernels->name;
        known += (known.empty() ? "" : ", ") + name;
        if (!wanted.empty() && wanted != name) continue;
        if (candidate.available) return candidate.kernels;
        if (!wanted.empty()) {
            why = "VITRAIL_ISA is " + wanted + ", which this processor lacks; leave it unset for the best it has";
            return nullptr;
        }
    }
    why = wanted.empty() ? "this processor has none of " + known
                         : "VITRAIL_ISA is " + wanted + ": choose among " + known;
    return nullptr;
}

}  // namespace vt
