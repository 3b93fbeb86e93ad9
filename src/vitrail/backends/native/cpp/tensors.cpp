// The session's first half: sizes are checked, then every tensor is checked against them and packed into its place.
#include <algorithm>
#include <cmath>
#include <string>

#include "session.h"

namespace vt {
namespace {

constexpr int64_t any = -1;

struct Shape {
    int64_t rows, columns;
    bool optional, in_layer;
};

// What each role must look like; 0 × 0 where the sizes leave it out.
Shape shape_of(vt_role role, const vt_sizes& s) {
    const int64_t embedding = s.embedding_size, hidden = s.hidden_size, heads = int64_t(s.num_heads) * s.head_dim,
                  kv_heads = int64_t(s.num_kv_heads) * s.head_dim, wide = s.intermediate_size;
    const Shape none{0, 0, true, true};
    switch (role) {
        case VT_TOKEN_TABLE: return {s.vocab_size, embedding, false, false};
        case VT_POSITION_TABLE: return s.positions ? Shape{any, embedding, false, false} : none;
        case VT_ROTATION: return s.num_rotations ? Shape{any, s.rotary_dim, false, false} : none;
        case VT_SCORE_BIAS: return s.score_bias ? Shape{s.num_heads, any, false, false} : none;
        case VT_TYPE_TABLE: return s.num_token_types ? Shape{s.num_token_types, embedding, false, false} : none;
        case VT_EMBEDDING_GAIN: return s.embedding_norm ? Shape{1, embedding, false, false} : none;
        case VT_EMBEDDING_SHIFT: return s.embedding_norm ? Shape{1, embedding, true, false} : none;
        case VT_PROJECTION: return embedding != hidden ? Shape{hidden, embedding, false, false} : none;
        case VT_PROJECTION_BIAS: return embedding != hidden ? Shape{1, hidden, true, false} : none;
        case VT_FINAL_GAIN: return s.final_norm ? Shape{1, hidden, false, false} : none;
        case VT_FINAL_SHIFT: return s.final_norm ? Shape{1, hidden, true, false} : none;
        case VT_QUERY: return {heads, hidden, false, true};
        case VT_KEY:
        case VT_VALUE: return {kv_heads, hidden, false, true};
        case VT_QUERY_BIAS: return {1, heads, true, true};
        case VT_KEY_BIAS:
        case VT_VALUE_BIAS: return {1, kv_heads, true, true};
        case VT_OUTPUT: return {hidden, heads, false, true};
        case VT_UP: return {wide, hidden, false, true};
        case VT_UP_BIAS: return {1, wide, true, true};
        case VT_GATE: return s.gated ? Shape{wide, hidden, false, true} : none;
        case VT_GATE_BIAS: return s.gated ? Shape{1, wide, true, true} : none;
        case VT_DOWN: return {hidden, wide, false, true};
        case VT_ATTENTION_GAIN:  // the first layer's is asked for in Session::ready
        case VT_ATTENTION_SHIFT: return {1, hidden, true, true};
        case VT_FEED_FORWARD_GAIN: return {1, hidden, false, true};
        default: return {1, hidden, true, true};  // biases of output and down, the shift
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
    within("num_token_types", s.num_token_types, 0, 1 << 16);
    within("hidden_size", s.hidden_size, 1, 1 << 16);
    within("num_heads", s.num_heads, 1, 1 << 12);
    within("num_kv_heads", s.num_kv_heads, 1, s.num_heads);
    require(s.num_heads % s.num_kv_heads == 0, "num_heads is not a multiple of num_kv_heads");
    within("head_dim", s.head_dim, 1, 256);
    within("num_heads * head_dim", int64_t(s.num_heads) * s.head_dim, 1, 1 << 16);
    within("intermediate_size", s.intermediate_size, 1, 1 << 18);
    within("embedding_size", s.embedding_size, 1, 1 << 16);
    within("num_layers", s.num_layers, 1, 1 << 10);
    within("num_sets", s.num_sets, 1, s.num_layers);
    within("num_rotations", s.num_rotations, 0, s.num_layers);
    within("rotary_dim", s.rotary_dim, 0, s.head_dim);
    require(s.rotary_dim % 2 == 0, "rotary_dim is odd");
    within("activation", s.activation, VT_GELU, VT_SILU);
    require(s.norm_epsilon >= 0.0f && s.norm_epsilon < 1.0f, "norm_epsilon must be from 0 to 1");
    require(std::isfinite(s.embedding_scale), "embedding_scale must be finite");
    return s;
}

int32_t checked_threads(int32_t threads) {
    require(threads >= 1 && threads <= 1024, "threads is " + std::to_string(threads) + "; from 1 to 1024");
    return threads;
}

}  // namespace

Session::Session(const vt_sizes& sizes, const vt_layer* layers, int32_t precision, int32_t threads, const Kernels& kernels)
    : kernels_(kernels),
      precision_(precision),
      sets_(checked(sizes).num_sets),
      given_(int64_t(std::max(sizes.num_sets, sizes.num_rotations)) * VT_NUM_ROLES),
      pool_(checked_threads(threads)),
      barrier_(threads),
      workspaces_(threads) {
    require(precision >= VT_FLOAT32 && precision <= VT_FLOAT16, "precision is none of VT_FLOAT32, VT_INT8, VT_FLOAT16");
    if (!encode_of(kernels, precision))
        throw Refusal(VT_UNSUPPORTED, std::string("float16 runs on avx512fp16, not on ") + kernels.name);
    const Layout& layout = kernels.layout;
    model_.sizes = sizes;
    model_.head_width = static_cast<int>(padded(sizes.head_dim, layout.head));
    // groups of vectors that are mixed are whole panels too
    const int unit = precision == VT_INT8 ? std::max(layout.panel, mixed_vectors * layout.lanes) : layout.panel;
    model_.embedding_width = static_cast<int>(padded(sizes.embedding_size, unit));
    model_.hidden_width = static_cast<int>(padded(sizes.hidden_size, unit));
    model_.qkv_width = static_cast<int>(padded(model_.heads_width() + 2 * int64_t(model_.kv_width()), layout.panel));
    // gated products have values that are many times the others; and weights in few steps leave no room for any loss
    model_.wide_mixed = sizes.gated || layout.weight_bound;
    model_.wide_width = static_cast<int>(padded(sizes.intermediate_size, model_.wide_mixed ? unit : layout.panel));
    rotations_.resize(sizes.num_rotations);
    for (int32_t i = 0; i < sizes.num_layers; i++) {
        require(layers[i].set >= 0 && layers[i].set < sizes.num_sets,
                "layer " + std::to_string(i) + " uses set " + std::to_string(layers[i].set) + " of " +
                    std::to_string(sizes.num_sets));
        require(layers[i].window >= -1 && layers[i].window <= 1 << 30, "window of layer " + std::to_string(i));
        require(!sizes.num_rotations || (layers[i].rotation >= 0 && layers[i].rotation < sizes.num_rotations),
                "rotation of layer " + std::to_string(i));
        const Table* rotation = sizes.num_rotations ? &rotations_[layers[i].rotation] : nullptr;
        steps_.push_back({&sets_[layers[i].set], layers[i].window, rotation});
    }
    model_.steps = steps_.data();
}

int32_t Session::count_of(vt_role role) const {
    if (role == VT_ROTATION) return model_.sizes.num_rotations;
    return shape_of(role, model_.sizes).in_layer ? model_.sizes.num_sets : 1;
}

void Session::set_tensor(int32_t number, int32_t set, const float* data, int64_t rows, int64_t columns) {
    const std::lock_guard<std::mutex> turn(turn_);
    require(number >= 0 && number < VT_NUM_ROLES, "role " + std::to_string(number) + " is none of vt_role");
    const vt_role role = static_cast<vt_role>(number);
    const bool table = role == VT_POSITION_TABLE || role == VT_ROTATION || role == VT_SCORE_BIAS;
    require(!ready_ || table, "vt_set_tensor after vt_ready");
    const Shape shape = shape_of(role, model_.sizes);
    require(set >= 0 && set < count_of(role), "set " + std::to_string(set) + " of " + std::to_string(count_of(role)));
    const auto fits = [](int64_t found, int64_t wanted) {
        return wanted == any ? found >= 1 && found <= int64_t(1) << 31 : wanted > 0 && found == wanted;
    };
    require(fits(rows, shape.rows) && fits(columns, shape.columns) && (role != VT_SCORE_BIAS || columns % 2),
            "role " + std::to_string(role) + " is " + std::to_string(rows) + " × " + std::to_string(columns) +
                ", the sizes say " + std::to_string(shape.rows) + " × " + std::to_string(shape.columns));
    if (table)
        place_table(role, set, data, rows, columns);
    else
        place_tensor(role, sets_[set], data, rows, columns);
    given(set, role) = 1;
}

void Session::place_table(vt_role role, int32_t set, const float* data, int64_t rows, int64_t columns) {
    Table& table = role == VT_ROTATION     ? rotations_[set]
                   : role == VT_SCORE_BIAS ? model_.score_bias
                                           : model_.positions;
    table = {data, rows, columns};
}

void Session::place_tensor(vt_role role, Layer& layer, const float* data, int64_t rows, int64_t columns) {
    const vt_sizes& s = model_.sizes;
    const int64_t heads_width = model_.heads_width(), half_panel = kernels_.layout.panel / 2;
    const Places plain, heads{0, s.head_dim, model_.head_width};
    const float log2e = 1.4426950408889634f;
    const float query_factor = log2e / std::sqrt(static_cast<float>(s.head_dim));

    const auto norm = [&](float*& place) {
        if (!place) place = memory_.take<float>(std::max(model_.hidden_width, model_.embedding_width));
        std::copy(data, data + columns, place);
    };
    const auto linear = [&](Linear& place, bool bias, int64_t inputs, int64_t outputs, Places in, Places out,
                            bool mixed, float factor) {
        if (!place.weights) place = make_linear(memory_, inputs, outputs, precision_);
        const Packing packing{kernels_.layout, precision_, mixed, factor, out, in};
        if (bias)
            pack_bias(place, packing, data, columns);
        else
            pack_weights(place, packing, data, rows, columns);
    };
    const auto head_linear = [&](int part, bool bias) {
        const int64_t first = part == 0 ? 0 : heads_width + (part - 1) * int64_t(model_.kv_width());
        const Places out{first, s.head_dim, model_.head_width};
        linear(layer.qkv, bias, model_.hidden_width, model_.qkv_width, plain, out, true,
               part == 0 ? query_factor : 1.0f);
    };

    // gated: in each panel, up's columns stand before gate's
    const auto wide_linear = [&](int part, bool bias) {
        const Places out = s.gated ? Places{part * half_panel, half_panel, 2 * half_panel} : plain;
        linear(layer.up, bias, model_.hidden_width, (s.gated ? 2 : 1) * int64_t(model_.wide_width), plain, out, true,
               1.0f);
    };

    switch (role) {
        case VT_TOKEN_TABLE: model_.token_table = data; break;
        case VT_POSITION_TABLE:
        case VT_ROTATION:
        case VT_SCORE_BIAS: break;  // tables
        case VT_TYPE_TABLE: model_.type_table = data; break;
        case VT_EMBEDDING_GAIN: norm(model_.embedding_norm.gain); break;
        case VT_EMBEDDING_SHIFT: norm(model_.embedding_norm.shift); break;
        case VT_PROJECTION:
        case VT_PROJECTION_BIAS:
            linear(model_.projection, role == VT_PROJECTION_BIAS, model_.embedding_width, model_.hidden_width, plain,
                   plain, true, 1.0f);
            break;
        case VT_FINAL_GAIN: norm(model_.final_norm.gain); break;
        case VT_FINAL_SHIFT: norm(model_.final_norm.shift); break;
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
        case VT_UP_BIAS: wide_linear(0, role == VT_UP_BIAS); break;
        case VT_GATE:
        case VT_GATE_BIAS: wide_linear(1, role == VT_GATE_BIAS); break;
        case VT_DOWN:
        case VT_DOWN_BIAS:
            linear(layer.down, role == VT_DOWN_BIAS, model_.wide_width, model_.hidden_width, plain, plain,
                   model_.wide_mixed, 1.0f);
            break;
        case VT_FEED_FORWARD_GAIN: norm(layer.feed_forward_norm.gain); break;
        case VT_FEED_FORWARD_SHIFT: norm(layer.feed_forward_norm.shift); break;
        case VT_NUM_ROLES: break;
    }
}

void Session::ready() {
    for (int32_t role = 0; role < VT_NUM_ROLES; role++) {
        const Shape shape = shape_of(static_cast<vt_role>(role), model_.sizes);
        for (int32_t set = 0; set < count_of(static_cast<vt_role>(role)); set++) {
            const bool first_norm = role == VT_ATTENTION_GAIN && &sets_[set] == steps_[0].layer;
            const bool needed = role == VT_ATTENTION_GAIN ? !first_norm || model_.sizes.first_attention_norm
                                                          : !shape.optional;
            if (needed && !given(set, role))
                throw Refusal(VT_NOT_READY,
                              "role " + std::to_string(role) + " of set " + std::to_string(set) + " is missing");
        }
    }
    const auto with_shift = [&](Norm& norm) {
        if (norm.gain && !norm.shift)
            norm.shift = memory_.take<float>(std::max(model_.hidden_width, model_.embedding_width));
    };
    with_shift(model_.embedding_norm);
    with_shift(model_.final_norm);
    for (Layer& set : sets_) {
        with_shift(set.attention_norm);
        with_shift(set.feed_forward_norm);
    }
    ready_ = true;
}

}  // namespace vt
