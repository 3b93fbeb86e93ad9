// From a checkpoint's matrices to the panels that the kernels read. All padding happens here.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "model.h"

namespace vt {

// Owns aligned memory, filled with zeros.
class Memory {
public:
    template <class T>
    T* take(int64_t count) {
        return static_cast<T*>(bytes(static_cast<size_t>(count) * sizeof(T)));
    }

private:
    struct Free {
        void operator()(void* pointer) const;
    };
    void* bytes(size_t count);
    std::vector<std::unique_ptr<void, Free>> blocks_;
};

// Where output or input i of a matrix goes: groups of `size` stand `width` apart, from `first` on. Heads are such
// groups.
struct Places {
    int64_t first = 0, size = 1, width = 1;
    int64_t operator()(int64_t i) const { return first + i / size * width + i % size; }
};

// How the matrix of one checkpoint tensor enters a Linear.
struct Packing {
    Layout layout;
    int32_t precision;
    bool mixed;    // its inputs are hidden states that were mixed (rows.inl)
    float factor;  // on weights and bias
    Places outputs, inputs;
};

// Memory for a matrix of padded sizes.
Linear make_linear(Memory& memory, int64_t inputs, int64_t outputs, int32_t precision);

// Put `rows` × `columns` weights, row after row, into their places.
void pack_weights(const Linear& linear, const Packing& packing, const float* weights, int64_t rows, int64_t columns);
void pack_bias(const Linear& linear, const Packing& packing, const float* bias, int64_t rows);

}  // namespace vt
