// Packing runs once per model, so it is plain scalar code, the same for every instruction set.
#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

namespace vt {
namespace {

constexpr size_t alignment = 64;

// The Hadamard matrix over groups of vectors, as mix_vectors in rows.inl applies it to activations.
void mix(std::vector<float>& row, int lanes) {
    const size_t group = static_cast<size_t>(mixed_vectors) * lanes;
    for (size_t start = 0; start < row.size(); start += group)
        for (size_t step = lanes; step < group; step *= 2)
            for (size_t i = start; i < start + group; i++)
                if (!((i - start) & step)) {
                    const float a = row[i], b = row[i + step];
                    row[i] = a + b;
                    row[i + step] = a - b;
                }
    const float over = 1.0f / std::sqrt(static_cast<float>(mixed_vectors));
    for (float& value : row) value *= over;
}

// The step between whole numbers -127 … 127 for a row of weights; NaN if one of them is not finite.
//
// With a bound, neither the positive nor the negative ones among any four weights whose products meet in 16 bits add up
// to more: then no activations of 0 … 255 make those 16 bits overflow. The four are two neighbours of one group and two
// of the next. Rounding to whole numbers adds at most a half for each.
float step_of(const std::vector<float>& row, int bound) {
    float largest = 0.0f;
    for (float value : row) largest = std::isfinite(value) ? std::max(largest, std::fabs(value)) : NAN;
    if (!bound || std::isnan(largest)) return largest / 127.0f;
    for (size_t k = 0; k < row.size(); k += k % group ? group + 2 : 2) {
        float positive = 0.0f, negative = 0.0f;
        for (size_t of_four : {k, k + 1, k + group, k + group + 1}) {
            positive += std::max(row[of_four], 0.0f);
            negative -= std::min(row[of_four], 0.0f);
        }
        largest = std::max({largest, positive, negative});
    }
    return largest / (static_cast<float>(bound) - 4 * 0.5f);
}

// One output's weights as whole numbers.
void pack_quantised(const Linear& linear, const Layout& layout, const std::vector<float>& row, int64_t output) {
    const float scale = step_of(row, layout.weight_bound);
    int8_t* panel = static_cast<int8_t*>(linear.weights) + output / layout.panel * layout.panel * linear.inputs;
    const int64_t column = output % layout.panel * group, stride = int64_t(layout.panel) * group;
    int64_t sum = 0;
    for (size_t k = 0; k < row.size(); k++) {
        const long whole = scale > 0.0f ? std::lrintf(row[k] / scale) : 0;
        sum += whole;
        panel[k / group * stride + column + k % group] = static_cast<int8_t>(whole);
    }
    linear.scale[output] = scale;
    linear.column_sum[output] = scale * static_cast<float>(sum);
}

// The nearest float16, of two the even one.
uint16_t to_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);  // NaN
    if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // from 65520 on: infinity
    if (magnitude < 0x38800000)  // below 2⁻¹⁴ steps are 2⁻²⁴
        return static_cast<uint16_t>(sign | std::lrintf(std::fabs(value) * 16777216.0f));
    const uint32_t even = magnitude >> 13 & 1;
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + even) >> 13));
}

template <class Weight, class Convert>
void pack_floats(const Linear& linear, const Layout& layout, const std::vector<float>& row, int64_t output,
                 Convert convert) {
    Weight* panel = static_cast<Weight*>(linear.weights) + output / layout.panel * layout.panel * linear.inputs;
    for (size_t k = 0; k < row.size(); k++) panel[k * layout.panel + output % layout.panel] = convert(row[k]);
}

int64_t weight_bytes(int32_t precision) { return precision == VT_INT8 ? 1 : precision == VT_FLOAT16 ? 2 : 4; }

}  // namespace

void Memory::Free::operator()(void* pointer) const { std::free(pointer); }

void* Memory::bytes(size_t count) {
    const size_t whole = std::max<size_t>(1, (count + alignment - 1) / alignment) * alignment;
    void* pointer = std::aligned_alloc(alignment, whole);
    if (!pointer) throw std::bad_alloc();
    blocks_.emplace_back(pointer);
    std::memset(pointer, 0, whole);
    return pointer;
}

Linear make_linear(Memory& memory, int64_t inputs, int64_t outputs, int32_t precision) {
    Linear linear{};
    linear.inputs = static_cast<int>(inputs);
    linear.outputs = static_cast<int>(outputs);
    linear.weights = memory.take<char>(inputs * outputs * weight_bytes(precision));
    linear.bias = memory.take<float>(outputs);
    if (precision == VT_INT8) {
        linear.scale = memory.take<float>(outputs);
        linear.column_sum = memory.take<float>(outputs);
    }
    return linear;
}

void pack_weights(const Linear& linear, const Packing& packing, const float* weights, int64_t rows, int64_t columns) {
    std::vector<float> row(linear.inputs);
    for (int64_t i = 0; i < rows; i++) {
        std::fill(row.begin(), row.end(), 0.0f);
        for (int64_t k = 0; k < columns; k++) row[packing.inputs(k)] = packing.factor * weights[i * columns + k];
        const int64_t output = packing.outputs(i);
        if (packing.precision != VT_INT8) {
            if (packing.precision == VT_FLOAT16)
                pack_floats<uint16_t>(linear, packing.layout, row, output, to_half);
            else
                pack_floats<float>(linear, packing.layout, row, output, [](float value) { return value; });
            continue;
        }
        if (packing.mixed) mix(row, packing.layout.lanes);
        pack_quantised(linear, packing.layout, row, output);
    }
}

void pack_bias(const Linear& linear, const Packing& packing, const float* bias, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) linear.bias[packing.outputs(i)] = packing.factor * bias[i];
}

}  // namespace vt
