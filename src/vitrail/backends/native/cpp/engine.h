// The engine's C interface: the one border between C++ and the world (loaded with ctypes, linked to nothing).
//
// Create a handle, give it every tensor, call vt_ready, then vt_encode as often as you like. Functions return VT_OK or
// an error code, and vt_last_error tells in words what the last failing call of this thread found. No exception
// crosses.
#pragma once
#include <stdint.h>

#if defined(_WIN32)
#define VT_API __declspec(dllexport)
#else
#define VT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { VT_OK = 0, VT_BAD_ARGUMENT = 1, VT_NOT_READY = 2, VT_NO_MEMORY = 3, VT_UNSUPPORTED = 4 };
enum { VT_FLOAT32 = 0, VT_INT8 = 1, VT_FLOAT16 = 2 };

enum { VT_GELU = 0, VT_GELU_TANH = 1, VT_RELU = 2, VT_SILU = 3 };

// The shape of an encoder. The flags are 0 or 1.
typedef struct {
    int32_t vocab_size, num_token_types;  // rows of the tables; num_token_types may be 0
    int32_t positions;       // 1: a table of positions is added to the embeddings
    int32_t embedding_size;  // of the tables; other than hidden_size, a projection follows
    int32_t hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size;
    int32_t num_layers, num_sets;  // sets of parameters: fewer than layers where layers share them
    int32_t activation;            // one of the above
    int32_t gated;                 // f(gate) · up in place of f(up)
    int32_t rms_norm;              // divide by the root mean square in place of mean and deviation
    int32_t pre_norm;              // normalise before each step in place of after each residual
    int32_t embedding_norm, first_attention_norm, final_norm;  // 0: it is absent
    int32_t causal;         // no token sees those after it
    int32_t num_rotations;  // tables of waves; 0: queries and keys are not turned
    int32_t rotary_dim;     // how much of a head is turned
    int32_t score_bias;     // 1: a bias per head and distance is added to the scores
    float norm_epsilon, embedding_scale;
} vt_sizes;

// One layer: it uses the parameters of set `set`, sees `window` columns to each side (-1: all) and turns by the waves of
// table `rotation` (none where num_rotations is 0).
typedef struct {
    int32_t set, window, rotation;
} vt_layer;

// Which tensor. Matrices are (outputs, inputs), row after row, as torch.nn.Linear keeps them; vectors are (1, size).
typedef enum {
    VT_TOKEN_TABLE,
    VT_POSITION_TABLE,
    VT_TYPE_TABLE,
    VT_ROTATION,    // (columns, rotary_dim): the cosines of a column's angles, then the sines
    VT_SCORE_BIAS,  // (num_heads, 2 n - 1): of distances (key's column minus query's) from 1 - n to n - 1
    // The tables so far are not copied: they must outlive the handle, or the next table given in their place.
    VT_EMBEDDING_GAIN,
    VT_EMBEDDING_SHIFT,
    VT_PROJECTION,
    VT_PROJECTION_BIAS,
    VT_FINAL_GAIN,
    VT_FINAL_SHIFT,
    VT_QUERY,
    VT_QUERY_BIAS,
    VT_KEY,
    VT_KEY_BIAS,
    VT_VALUE,
    VT_VALUE_BIAS,
    VT_OUTPUT,
    VT_OUTPUT_BIAS,
    VT_ATTENTION_GAIN,
    VT_ATTENTION_SHIFT,
    VT_UP,
    VT_UP_BIAS,
    VT_GATE,
    VT_GATE_BIAS,
    VT_DOWN,
    VT_DOWN_BIAS,
    VT_FEED_FORWARD_GAIN,
    VT_FEED_FORWARD_SHIFT,
    VT_NUM_ROLES
} vt_role;

typedef struct vt_engine vt_engine;

// The interface's version: another number means other functions.
VT_API int32_t vt_version(void);

// The instruction set that runs, "avx512fp16", "avx512bf16", "avx512vnni", "avxvnni", "avx2", or on Arm "neondot": the best
// this processor has, or what VITRAIL_ISA names. NULL when the processor has none of them or lacks the one named;
// vt_last_error says which.
VT_API const char* vt_isa(void);

// A new engine, or NULL. `layers` has sizes->num_layers entries; `threads` includes the caller's. VT_FLOAT16 runs on
// avx512fp16 alone.
VT_API vt_engine* vt_create(const vt_sizes* sizes, const vt_layer* layers, int32_t precision, int32_t threads);
VT_API void vt_destroy(vt_engine* engine);

// Hand over one float32 tensor of `rows` × `columns`; `set` is 0 for those outside the layers. Biases and shifts may be
// left out and are 0 then; everything else that the sizes tell of must come before vt_ready.
// Tables of positions, rotations and score biases have as many positions, columns and distances as one likes, and may be
// given again between calls.
VT_API int32_t vt_set_tensor(vt_engine* engine, int32_t role, int32_t set, const float* data, int64_t rows,
                             int64_t columns);
VT_API int32_t vt_ready(vt_engine* engine);

// The hidden states of `tokens` tokens, (tokens, hidden_size) in `out`. Sequence i is boundaries[i]:boundaries[i + 1];
// boundaries has sequences + 1 numbers from 0 to `tokens`, and zero-length sequences are legal. `types` may be NULL:
// all of type 0. `positions` are rows of their table. `columns` are the tokens' places, growing in each sequence; NULL:
// 0, 1, 2 … Every id, position, type, column and boundary is checked first. Calls from several threads take turns.
VT_API int32_t vt_encode(vt_engine* engine, const int64_t* ids, const int64_t* positions, const int64_t* types,
                         const int64_t* columns, int64_t tokens, const int64_t* boundaries, int64_t sequences, float* out);

VT_API const char* vt_last_error(void);

#ifdef __cplusplus
}
#endif
