// One model ready to run: its packed tensors, its threads and their memory.
#pragma once
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.h"
#include "pack.h"
#include "pool.h"

namespace vt {

// What becomes an error code at the border.
struct Refusal : std::runtime_error {
    int32_t code;
    Refusal(int32_t code, const std::string& message) : std::runtime_error(message), code(code) {}
};

// The arguments of vt_encode.
struct Call {
    const int64_t *ids, *positions, *types, *columns;
    int64_t tokens;
    const int64_t* boundaries;
    int64_t sequences;
    float* out;
};

class Session {
public:
    Session(const vt_sizes& sizes, const vt_layer* layers, int32_t precision, int32_t threads, const Kernels& kernels);

    void set_tensor(int32_t role, int32_t set, const float* data, int64_t rows, int64_t columns);
    void ready();
    void encode(const Call& call);

private:
    // The memory one chunk needs, kept from call to call. Threads that share a chunk share the first's activations.
    struct Workspace {
        Memory memory;
        int64_t rows = 0, longest = 0;
        Activations activations{};
        Scratch scratch{};
    };
    // The chunks of a call, longest sequences first, and what they point to.
    struct Plan {
        std::vector<int64_t> tokens;
        std::vector<int> starts, columns;
        std::vector<Chunk> chunks;
    };

    void place_tensor(vt_role role, Layer& layer, const float* data, int64_t rows, int64_t columns);
    void place_table(vt_role role, int32_t set, const float* data, int64_t rows, int64_t columns);
    int32_t count_of(vt_role role) const;
    char& given(int32_t set, int32_t role) { return given_[set * VT_NUM_ROLES + role]; }

    void check(const Call& call) const;
    Plan plan(const Call& call) const;
    void grow(Workspace& workspace, int64_t rows, int64_t longest) const;

    const Kernels& kernels_;
    Model model_{};
    const int32_t precision_;
    Memory memory_;
    std::vector<Layer> sets_;
    std::vector<Step> steps_;
    std::vector<Table> rotations_;
    std::vector<char> given_;  // by set and role
    bool ready_ = false;
    std::mutex turn_;
    Pool pool_;
    Barrier barrier_;
    std::vector<Workspace> workspaces_;  // one per thread
};

}  // namespace vt
