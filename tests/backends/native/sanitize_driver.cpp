// Runs the engine under the sanitizers: odd sizes, every instruction set of this machine, every precision, hostile
// arguments, two threads at once. Every array is exactly as large as the interface says, so that a byte too far is
// caught.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "engine.h"

namespace {

constexpr int64_t num_columns = 530;

uint32_t state = 1;
float next_float() {  // a linear congruential generator, from -1 to 1
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
}

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s: %s\n", what, vt_last_error());
    std::exit(1);
}

struct Model {
    vt_engine* engine;
    std::vector<std::vector<float>> tables;

    Model(const vt_sizes& s, int32_t precision, int32_t threads) {
        std::vector<vt_layer> layers;
        for (int32_t i = 0; i < s.num_layers; i++) layers.push_back({i % s.num_sets, i % 2 ? 5 : -1, s.num_rotations ? i % s.num_rotations : -1});
        engine = vt_create(&s, layers.data(), precision, threads);
        require(engine, "vt_create");
        const int64_t e = s.embedding_size, h = s.hidden_size, heads = int64_t(s.num_heads) * s.head_dim,
                      kv = int64_t(s.num_kv_heads) * s.head_dim, wide = s.intermediate_size, gate = s.gated ? wide : 0, norm = s.embedding_norm,
                      final = s.final_norm, projection = e == h ? 0 : h;
        const int64_t shapes[VT_NUM_ROLES][2] = {
            {s.vocab_size, e},
            {s.positions ? num_columns : 0, e},
            {s.num_token_types, e},
            {s.num_rotations ? num_columns : 0, s.rotary_dim},
            {s.score_bias ? s.num_heads : 0, 2 * num_columns - 1},
            {norm, e},
            {norm, e},
            {projection, e},
            {projection / h, h},
            {final, h},
            {final, h},
            {heads, h},
            {1, heads},
            {kv, h},
            {1, kv},
            {kv, h},
            {1, kv},
            {h, heads},
            {1, h},
            {1, h},
            {1, h},
            {wide, h},
            {1, wide},
            {gate, h},
            {gate / wide, wide},
            {h, wide},
            {1, h},
            {1, h},
            {1, h}};
        for (int32_t role = 0; role < VT_NUM_ROLES; role++)
            for (int32_t set = 0; set < (role == VT_ROTATION ? s.num_rotations : role < VT_QUERY ? 1 : s.num_sets); set++) {
                std::vector<float> data(shapes[role][0] * shapes[role][1]);
                for (float& value : data) value = next_float();
                if (!data.empty())
                    require(!vt_set_tensor(engine, role, set, data.data(), shapes[role][0], shapes[role][1]), "set");
                if (role <= VT_SCORE_BIAS) tables.push_back(std::move(data));
            }
        require(!vt_ready(engine), "vt_ready");
    }
    ~Model() { vt_destroy(engine); }
    Model(const Model&) = delete;
};

void encode(vt_engine* engine, const vt_sizes& s, const std::vector<int64_t>& lengths) {
    std::vector<int64_t> ids, positions, types, columns, boundaries{0};
    for (int64_t length : lengths) {
        for (int64_t i = 0; i < length; i++) {
            ids.push_back((i * 7 + length) % s.vocab_size);
            positions.push_back(i);
            columns.push_back(2 * i);
            types.push_back(s.num_token_types ? i % s.num_token_types : 0);
        }
        boundaries.push_back(static_cast<int64_t>(ids.size()));
    }
    const int64_t tokens = boundaries.back(), sequences = static_cast<int64_t>(lengths.size());
    std::vector<float> out(tokens * s.hidden_size);
    const int64_t* with_types = s.num_token_types ? types.data() : nullptr;
    const int64_t* places = lengths.size() % 2 ? columns.data() : nullptr;
    const auto call = [&] {
        return vt_encode(engine, ids.data(), positions.data(), with_types, places, tokens, boundaries.data(), sequences,
                         out.data());
    };
    require(!call(), "vt_encode");
    for (float value : out) require(value == value && value - value == 0.0f, "a value is not finite");

    if (!tokens) return;
    for (int64_t bad : {int64_t(-1), int64_t(s.vocab_size), INT64_MAX, INT64_MIN}) {
        for (int64_t* place : {&ids.back(), &boundaries.back()}) {
            const int64_t kept = *place;
            if (bad == kept) continue;
            *place = bad;
            require(call() == VT_BAD_ARGUMENT, "a bad id or boundary was taken");
            *place = kept;
        }
    }
}

void run_all(const vt_sizes& s) {
    const bool float16 = std::strcmp(vt_isa(), "avx512fp16") == 0;
    for (int32_t precision : {VT_FLOAT32, VT_INT8, VT_FLOAT16})
        for (int32_t threads : {1, 3}) {
            if (precision == VT_FLOAT16 && !float16) continue;
            Model model(s, precision, threads);
            for (const std::vector<int64_t>& lengths : std::vector<std::vector<int64_t>>{
                     {}, {0}, {1}, {2, 0, 65}, {130, 17, 16, 15}, std::vector<int64_t>(300, 3), {1, 257}, {63, 64, 6}})
                encode(model.engine, s, lengths);
            std::thread other([&] { encode(model.engine, s, {40, 9}); });
            encode(model.engine, s, {7, 90});
            other.join();
        }
}

}  // namespace

int main() {
    int ran = 0;
    for (const char* isa : {"avx512fp16", "avx512bf16", "avx512vnni", "avxvnni", "avx2"}) {
        setenv("VITRAIL_ISA", isa, 1);
        if (!vt_isa()) continue;
        ran++;
        // vocabulary, types, positions; embedding, hidden, heads, key/value heads, head, wide; layers, sets; activation,
        // gated, rms_norm, pre_norm; embedding, first, final norm; causal, rotations, rotary_dim, bias; epsilon, scale
        run_all({11, 2, 1, 33, 33, 3, 3, 9, 41, 2, 2, VT_GELU, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1e-12f, 1.0f});
        run_all({5, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, VT_RELU, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1e-5f, 2.5f});
        run_all({9, 1, 0, 130, 130, 2, 1, 128, 67, 2, 2, VT_GELU_TANH, 1, 0, 1, 1, 0, 1, 0, 2, 128, 0, 1e-5f, 1.0f});
        run_all({9, 1, 1, 200, 64, 4, 2, 50, 192, 3, 1, VT_SILU, 1, 1, 1, 1, 1, 1, 1, 1, 22, 1, 1e-5f, 1.0f});
    }
    require(ran > 0, "no instruction set");
    const vt_sizes hostile{1, 0, 1, 1 << 30, 1 << 30, 1 << 30, 1, 256, 1 << 30, 1 << 30, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1e-5f, 1.0f};
    const vt_layer layer{0, -1, -1};
    require(!vt_create(&hostile, &layer, VT_INT8, 1), "hostile sizes were taken");
    std::printf("%d instruction sets\n", ran);
}
