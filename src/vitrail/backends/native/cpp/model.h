// What the kernels of every instruction set see of a model: plain structs of sizes and pointers.
//
// Widths inside are padded with zeros so that no kernel has a special case: a head to whole vectors, a matrix's columns
// to whole panels. Zero weights make zero results, so padding stays zero through every layer.
#pragma once
#include <cstdint>

#include "engine.h"

namespace vt {

// Rows whose values stay in the second cache while a product goes through the panels of its matrix; enough of them to
// use each panel many times.
constexpr int rows_in_cache = 192;
// Rows of a panel that are activated while they are in the first cache: whole tiles.
constexpr int rows_beside = 24;
// Neighbouring inputs whose int8 weights share a lane: an instruction multiplies and adds all of them.
constexpr int group = 4;
// Vectors of a row that are mixed before it is quantised (rows.inl).
constexpr int mixed_vectors = 8;

// What an instruction set wants of the packed weights.
struct Layout {
    int lanes;         // floats in a vector
    int head;          // the width of a head is a multiple of this
    int panel;         // columns of a matrix that one pass of a product makes
    int weight_bound;  // of int8 weights whose products are added in 16 bits (pack.cpp); 0: none are
};

// y = W x + b. Panel p holds columns p · panel …; inside, input after input (int8: group after group), then column.
// Weights are floats, in float16 halves, in int8 whole numbers.
// int8: y = scale_j · (s Σ w q + low Σ w) + b, for activations x ≈ s q + low; column_sum is scale_j Σ w.
struct Linear {
    int inputs, outputs;  // padded
    void* weights;
    float* bias;
    float* scale;
    float* column_sum;
};

// Without gain there is none.
struct Norm {
    float* gain;
    float* shift;
};

struct Layer {
    Linear qkv, output;
    Linear up;  // gated: each panel is half of up's columns, half of gate's
    Linear down;
    Norm attention_norm, feed_forward_norm;
};

// A table that is not copied.
struct Table {
    const float* data;
    int64_t rows, columns;
};

struct Step {
    const Layer* layer;
    int window;             // -1: none
    const Table* rotation;  // null: none
};

struct Model {
    vt_sizes sizes;
    int head_width;    // head_dim, padded
    int hidden_width;  // the others likewise; in floats
    int qkv_width;     // queries of all heads, keys of all key/value heads, their values, padding
    int wide_width;
    int embedding_width;
    bool wide_mixed;  // what the last product of a layer reads (rows.inl)
    const float *token_table, *type_table;
    Table positions, score_bias;
    Norm embedding_norm, final_norm;
    Linear projection;           // of the embeddings; without weights there is none
    const Step* steps;  // layers that share parameters share a Layer

    int heads_width() const { return sizes.num_heads * head_width; }
    int kv_width() const { return sizes.num_kv_heads * head_width; }
};

// Whole sequences that go through the layers together. Row r of the activations belongs to token tokens[r].
struct Chunk {
    const int64_t *ids, *positions, *types;  // of the whole call; types may be null
    const int64_t* tokens;                   // where in the call each row stands
    const int* starts;                       // sequences + 1 rows
    const int* columns;                      // of each row
    bool plain;                              // they are 0, 1, 2 … in every sequence
    int sequences;
    int rows;
    int longest;
    float* out;  // of the whole call
};

// A product's left side as it reads it: floats, lanes of float16, or quantised values with their scale and lowest value
// per row.
struct Rows {
    void* data;
    float* scale;
    float* low;
};

// The values between the steps of one chunk; its threads share them.
struct Activations {
    float* hidden;   // rows × hidden_width: the residual stream
    float* normed;   // float32 and pre-norm only: the stream, normalised, as the next product reads it
    float* qkv;      // rows × qkv_width: the context takes the queries' place
    float* wide;     // rows × wide_width, or the embeddings that are projected
    Rows copied;     // int8 and float16 only: the input of the next product
};

// What one thread needs for itself.
struct Scratch {
    float* keys;    // one head's keys in panels, as operands of their product (operands.inl)
    float* values;  // one head's values likewise, row after row
    float* scores;  // a few rows of scores
    float* row;     // the widest row
    float* panel;   // rows of one panel that are not activated yet
};

// The threads that work on one chunk: each does part `part` of `parts` of every step, and waits for the others after
// it.
struct Team {
    int part, parts;
    void* barrier;
    void (*wait)(void* barrier);

    void meet() const {
        if (parts > 1) wait(barrier);
    }
    int64_t from(int64_t count) const { return count * part / parts; }
    int64_t to(int64_t count) const { return count * (part + 1) / parts; }
};

using Encode = void (*)(const Model&, const Chunk&, const Activations&, const Scratch&, const Team&);

// One instruction set.
struct Kernels {
    const char* name;
    Layout layout;
    int rows;  // of scores that a Scratch holds
    Encode float32, int8, float16;  // null: not on this processor
};

inline Encode encode_of(const Kernels& kernels, int32_t precision) {
    return precision == VT_INT8 ? kernels.int8 : precision == VT_FLOAT16 ? kernels.float16 : kernels.float32;
}

extern const Kernels avx512fp16, avx512bf16, avx512vnni, avxvnni, avx2;  // on x86-64
extern const Kernels neondot;                                            // on Arm

inline int64_t padded(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

}  // namespace vt
