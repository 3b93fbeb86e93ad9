// Linux tells a process what its processor has.
#include <sys/auxv.h>

#include "cpu.h"

namespace vt {

std::vector<Candidate> candidates() {
    constexpr unsigned long dot_products = 1ul << 20;  // HWCAP_ASIMDDP
    return {{&neondot, (getauxval(AT_HWCAP) & dot_products) != 0}};
}

}  // namespace vt
