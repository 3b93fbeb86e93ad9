// The session's first half: sizes are checked, then every tensor is checked against them and packed into its place.
#include <algorithm>
#include <cmath>
#include <string>

#include "session.h"

namespace vt {
namespace {

struct Shape {
    int64_t rows, columns;
    bool optional, in_layer;
};

// What each role must look like, in the order of vt_role.
Shape shape_of(vt_role role, const vt_sizes& s) {
    const int64_t hidden = s.hidden_size, heads = int64_t(s.num_heads) * s.head_dim, wide = s.intermediate_size;
    switch (role) {
        case VT_TOKEN_TABLE: return {s.vocab_size, hidden, false, false};
        case VT_POSITION_TABLE: return {s.max_positions, hidden, false, false};
        case VT_TYPE_TABLE: return {s.num_token_types, hidden, s.num_token_types == 0, false};
        case VT_EMBEDDING_GAIN: return {1, hidden, !s.embedding_norm, false};
        case VT_EMBEDDING_SHIFT: return {1, hidden, true, false};
        case VT_QUERY:
        case VT_KEY:
        case VT_VALUE: return {heads, hidden, false, true};
        case VT_QUERY_BIAS:
        case VT_KEY_BIAS:
        case VT_VALUE_BIAS: return {1, heads, true, true};
        case VT_OUTPUT: return {hidden, heads, false, true};
        case VT_UP: return {wide, hidden, false, true};
        case VT_UP_BIAS: return {1, wide, true, true};
        case VT_DOWN: return {hidden, wide, false, true};
        case VT_ATTENTION_GAIN:
        case VT_FEED_FORWARD_GAIN: return {1, hidden, false, true};
        default: return {1, hidden, true, true};  // biases of output and down, shifts
    }
}

void require(bool condition, const std::string& message) {
    if (!condition) throw Refusal(VT_BAD_ARGUMENT, message);
}

// Limits far above any published model and far below what could overflow an offset.
vt_sizes checked(const vt_sizes& s) {
    const auto within = [](const char* name, int64_t value, int64_t least, int64_t most) {
        require(value >= least && value <= most, std::string(name) + " is " + std::to_string(value) + "; from " +
                                                     std::to_string(least) + " to " + std::to_string(most));
    };
    within("vocab_size", s.vocab_size, 1, 1 << 28);
    within("max_positions", s.max_positions, 1, 1 << 28);
    within("num_token_types", s.num_token_types, 0, 1 << 16);
    within("hidden_size", s.hidden_size, 1, 1 << 16);
    within("num_heads", s.num_heads, 1, 1 << 12);
    within("head_dim", s.head_dim, 1, 256);
    within("num_heads * head_dim", int64_t(s.num_heads) * s.head_dim, 1, 1 << 16);
    within("intermediate_size", s.intermediate_size, 1, 1 << 18);
    within("num_layers", s.num_layers, 1, 1 << 10);
    require(s.norm_epsilon >= 0.0f && s.norm_epsilon < 1.0f, "norm_epsilon must be from 0 to 1");
    return s;
}

int32_t checked_threads(int32_t threads) {
    require(threads >= 1 && threads <= 1024, "threads is " + std::to_string(threads) + "; from 1 to 1024");
    return threads;
}

}  // namespace

Session::Session(const vt_sizes& sizes, int32_t precision, int32_t threads, const Kernels& kernels)
    : kernels_(kernels),
      int8_(precision == VT_INT8),
      layers_(checked(sizes).num_layers),
      given_(int64_t(sizes.num_layers) * VT_NUM_ROLES),
      pool_(checked_threads(threads)),
      barrier_(threads),
      workspaces_(threads) {
    require(precision == VT_FLOAT32 || precision == VT_INT8, "precision is neither VT_FLOAT32 nor VT_INT8");
    const Layout& layout = kernels.layout;
    model_.sizes = sizes;
    model_.head_width = static_cast<int>(padded(sizes.head_dim, layout.lanes));
    // groups of vectors that are mixed are whole panels too
    const int unit = int8_ ? std::max(layout.panel, mixed_vectors * layout.lanes) : layout.panel;
    model_.hidden_width = static_cast<int>(padded(sizes.hidden_size, unit));
    model_.qkv_width = static_cast<int>(padded(3 * int64_t(model_.heads_width()), layout.panel));
    model_.wide_width = static_cast<int>(padded(sizes.intermediate_size, layout.panel));
    model_.layers = layers_.data();
}

void Session::set_tensor(int32_t role, int32_t layer, const float* data, int64_t rows, int64_t columns) {
    require(!ready_, "vt_set_tensor after vt_ready");
    require(role >= 0 && role < VT_NUM_ROLES, "role " + std::to_string(role) + " is none of vt_role");
    const Shape shape = shape_of(static_cast<vt_role>(role), model_.sizes);
    const int32_t layers = shape.in_layer ? model_.sizes.num_layers : 1;
    require(layer >= 0 && layer < layers, "layer " + std::to_string(layer) + " of " + std::to_string(layers));
    require(rows == shape.rows && columns == shape.columns,
            "role " + std::to_string(role) + " is " + std::to_string(rows) + " × " + std::to_string(columns) +
                ", the sizes say " + std::to_string(shape.rows) + " × " + std::to_string(shape.columns));
    place_tensor(static_cast<vt_role>(role), layers_[layer], data, rows, columns);
    given(layer, role) = 1;
}

void Session::place_tensor(vt_role role, Layer& layer, const float* data, int64_t rows, int64_t columns) {
    const vt_sizes& s = model_.sizes;
    const int64_t heads_width = model_.heads_width();
    const Places plain, heads{0, s.head_dim, model_.head_width};
    const float log2e = 1.4426950408889634f;
    const float query_factor = log2e / std::sqrt(static_cast<float>(s.head_dim));

    const auto norm = [&](float*& place) {
        if (!place) place = memory_.take<float>(model_.hidden_width);
        std::copy(data, data + columns, place);
    };
    const auto linear = [&](Linear& place, bool bias, int64_t inputs, int64_t outputs, Places in, Places out,
                            bool mixed, float factor) {
        if (!place.weights) place = make_linear(memory_, inputs, outputs, int8_, kernels_.layout);
        const Packing packing{kernels_.layout, int8_, mixed, factor, out, in};
        if (bias)
            pack_bias(place, packing, data, columns);
        else
            pack_weights(place, packing, data, rows, columns);
    };
    const auto head_linear = [&](int part, bool bias) {
        const Places out{part * heads_width, s.head_dim, model_.head_width};
        linear(layer.qkv, bias, model_.hidden_width, model_.qkv_width, plain, out, true,
               part == 0 ? query_factor : 1.0f);
    };

    switch (role) {
        case VT_TOKEN_TABLE: model_.token_table = data; break;
        case VT_POSITION_TABLE: model_.position_table = data; break;
        case VT_TYPE_TABLE: model_.type_table = data; break;
        case VT_EMBEDDING_GAIN: norm(model_.embedding_norm.gain); break;
        case VT_EMBEDDING_SHIFT: norm(model_.embedding_norm.shift); break;
        case VT_QUERY:
        case VT_QUERY_BIAS: head_linear(0, role == VT_QUERY_BIAS); break;
        case VT_KEY:
        case VT_KEY_BIAS: head_linear(1, role == VT_KEY_BIAS); break;
        case VT_VALUE:
        case VT_VALUE_BIAS: head_linear(2, role == VT_VALUE_BIAS); break;
        case VT_OUTPUT:
        case VT_OUTPUT_BIAS:
            linear(layer.output, role == VT_OUTPUT_BIAS, heads_width, model_.hidden_width, heads, plain, false, 1.0f);
            break;
        case VT_ATTENTION_GAIN: norm(layer.attention_norm.gain); break;
        case VT_ATTENTION_SHIFT: norm(layer.attention_norm.shift); break;
        case VT_UP:
        case VT_UP_BIAS:
            linear(layer.up, role == VT_UP_BIAS, model_.hidden_width, model_.wide_width, plain, plain, true, 1.0f);
            break;
        case VT_DOWN:
        case VT_DOWN_BIAS:
            linear(layer.down, role == VT_DOWN_BIAS, model_.wide_width, model_.hidden_width, plain, plain, false, 1.0f);
            break;
        case VT_FEED_FORWARD_GAIN: norm(layer.feed_forward_norm.gain); break;
        case VT_FEED_FORWARD_SHIFT: norm(layer.feed_forward_norm.shift); break;
        case VT_NUM_ROLES: break;
    }
}

void Session::ready() {
    for (int32_t role = 0; role < VT_NUM_ROLES; role++) {
        const Shape shape = shape_of(static_cast<vt_role>(role), model_.sizes);
        for (int32_t layer = 0; layer < (shape.in_layer ? model_.sizes.num_layers : 1); layer++)
            if (!shape.optional && !given(layer, role))
                throw Refusal(VT_NOT_READY,
                              "role " + std::to_string(role) + " of layer " + std::to_string(layer) + " is missing");
    }
    const auto with_shift = [&](Norm& norm) {
        if (norm.gain && !norm.shift) norm.shift = memory_.take<float>(model_.hidden_width);
    };
    with_shift(model_.embedding_norm);
    for (Layer& layer : layers_) {
        with_shift(layer.attention_norm);
        with_shift(layer.feed_forward_norm);
    }
    ready_ = true;
}

}  // namespace vt
