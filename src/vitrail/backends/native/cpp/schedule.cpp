// The session's second half: a call is cut into chunks of whole sequences, and the chunks are given to the threads.
//
// With chunks enough, each thread takes one after the other and never waits. With few (a single text), all threads
// share one chunk: the columns of every product, the heads and the rows are split among them.
#include <algorithm>
#include <atomic>
#include <numeric>
#include <string>

#include "session.h"

namespace vt {
namespace {

// Rows of a chunk, where its sequences are no longer.
constexpr int64_t most_rows = rows_in_cache, least_rows = 96;
// So many chunks per thread even out their different costs.
constexpr int64_t chunks_per_thread = 4;
constexpr int64_t longest_sequence = 1 << 24, widest_row = 1 << 30;

void refuse(const std::string& message) { throw Refusal(VT_BAD_ARGUMENT, message); }

void check_range(const char* name, const int64_t* values, int64_t count, int64_t limit) {
    for (int64_t i = 0; i < count; i++)
        if (values[i] < 0 || values[i] >= limit)
            refuse(std::string(name) + " of token " + std::to_string(i) + " is " + std::to_string(values[i]) +
                   ", the table has " + std::to_string(limit));
}

}  // namespace

void Session::check(const Call& call) const {
    if (!ready_) throw Refusal(VT_NOT_READY, "vt_encode before vt_ready");
    if (call.tokens < 0 || call.sequences < 0) refuse("a negative count of tokens or sequences");
    if (call.boundaries[0] != 0 || call.boundaries[call.sequences] != call.tokens)
        refuse("boundaries must begin with 0 and end with the number of tokens");
    for (int64_t i = 0; i < call.sequences; i++) {
        const int64_t length = call.boundaries[i + 1] - call.boundaries[i];
        if (call.boundaries[i + 1] > call.tokens || length < 0 || length > longest_sequence)
            refuse("boundaries of sequence " + std::to_string(i) + " run backwards or too far");
    }
    check_range("id", call.ids, call.tokens, model_.sizes.vocab_size);
    if (model_.sizes.positions) {
        if (call.tokens && !call.positions) refuse("positions is null");
        check_range("position", call.positions, call.tokens, model_.positions.rows);
    }
    int64_t columns = widest_row;
    for (const Table& rotation : rotations_) columns = std::min(columns, rotation.rows);
    if (model_.sizes.score_bias) columns = std::min(columns, (model_.score_bias.columns + 1) / 2);
    for (int64_t i = 0; i < call.sequences; i++) {
        const int64_t first = call.boundaries[i], end = call.boundaries[i + 1];
        if (!call.columns && end - first > columns)
            refuse("sequence " + std::to_string(i) + " has " + std::to_string(end - first) + " tokens, the tables " +
                   std::to_string(columns) + " columns");
        for (int64_t k = first + 1; call.columns && k < end; k++)
            if (call.columns[k] <= call.columns[k - 1]) refuse("columns of sequence " + std::to_string(i) + " do not grow");
    }
    if (call.columns) check_range("column", call.columns, call.tokens, columns);
    if (call.types) check_range("type", call.types, call.tokens, model_.sizes.num_token_types);
}

Session::Plan Session::plan(const Call& call) const {
    const auto length = [&](int64_t sequence) { return call.boundaries[sequence + 1] - call.boundaries[sequence]; };
    std::vector<int64_t> order(call.sequences);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });
    const int64_t even = call.tokens / (chunks_per_thread * pool_.size());
    const int64_t target = std::min(most_rows, std::max(least_rows, even));

    Plan plan;
    plan.tokens.reserve(call.tokens);
    plan.starts.reserve(2 * call.sequences);
    plan.columns.reserve(call.tokens);
    for (size_t i = 0; i < order.size() && length(order[i]);) {
        Chunk chunk{call.ids,
                    call.positions,
                    call.types,
                    plan.tokens.data() + plan.tokens.size(),
                    plan.starts.data() + plan.starts.size(),
                    plan.columns.data() + plan.columns.size(),
                    !call.columns,
                    0,
                    0,
                    static_cast<int>(length(order[i])),
                    call.out};
        plan.starts.push_back(0);
        do {
            const int64_t first = call.boundaries[order[i]], count = length(order[i]);
            for (int64_t token = first; token < first + count; token++) {
                plan.tokens.push_back(token);
                plan.columns.push_back(static_cast<int>(call.columns ? call.columns[token] : token - first));
            }
            chunk.rows += static_cast<int>(count);
            chunk.sequences++;
            plan.starts.push_back(chunk.rows);
            i++;
        } while (i < order.size() && length(order[i]) && chunk.rows + length(order[i]) <= target);
        plan.chunks.push_back(chunk);
    }
    return plan;
}

void Session::grow(Workspace& workspace, int64_t rows, int64_t longest) const {
    if (rows <= workspace.rows && longest <= workspace.longest) return;
    rows = std::max(rows, workspace.rows);
    longest = std::max(longest, workspace.longest);
    workspace = {};
    Memory& memory = workspace.memory;
    const Layout& layout = kernels_.layout;
    const int64_t widest = std::max({model_.hidden_width, model_.wide_width, model_.heads_width(), model_.embedding_width});
    Activations& a = workspace.activations;
    a.hidden = memory.take<float>(rows * model_.hidden_width);
    a.qkv = memory.take<float>(rows * model_.qkv_width);
    if (model_.sizes.pre_norm && precision_ == VT_FLOAT32) a.normed = memory.take<float>(rows * model_.hidden_width);
    const int64_t wide = model_.projection.weights ? std::max(model_.wide_width, model_.embedding_width) : model_.wide_width;
    a.wide = memory.take<float>(rows * wide);
    if (precision_ == VT_INT8) {
        a.copied.data = memory.take<char>(rows * widest);
        a.copied.scale = memory.take<float>(rows);
        a.copied.low = memory.take<float>(rows);
    } else if (precision_ == VT_FLOAT16) {
        a.copied.data = memory.take<float>(rows * widest);
    }
    Scratch& s = workspace.scratch;
    const int64_t keys = padded(longest, layout.panel);
    s.keys = memory.take<float>(keys * model_.head_width);
    s.values = memory.take<float>(keys * model_.head_width);
    s.scores = memory.take<float>(keys * kernels_.rows);
    s.row = memory.take<float>(widest);
    s.panel = memory.take<float>(int64_t(rows_beside) * layout.panel);
    workspace.rows = rows;
    workspace.longest = longest;
}

void Session::encode(const Call& call) {
    const std::lock_guard<std::mutex> turn(turn_);
    check(call);
    const Plan plan = this->plan(call);
    const Encode run = encode_of(kernels_, precision_);
    const int threads = pool_.size();
    const auto rows = [](const Chunk& a, const Chunk& b) { return a.rows < b.rows; };
    const auto largest = std::max_element(plan.chunks.begin(), plan.chunks.end(), rows);
    if (largest == plan.chunks.end()) return;
    const int64_t longest = plan.chunks.front().longest;
    const bool share = threads > 1 && plan.chunks.size() < static_cast<size_t>(2 * threads);
    for (int i = 0; i < threads; i++) grow(workspaces_[i], share && i > 0 ? 1 : largest->rows, longest);

    std::atomic<size_t> next{0};
    const auto wait = [](void* barrier) { static_cast<Barrier*>(barrier)->wait(); };
    pool_.run([&](int part) {
        if (share) {
            for (const Chunk& chunk : plan.chunks)
                run(model_, chunk, workspaces_[0].activations, workspaces_[part].scratch,
                    {part, threads, &barrier_, wait});
            return;
        }
        for (size_t i; (i = next.fetch_add(1)) < plan.chunks.size();)
            run(model_, plan.chunks[i], workspaces_[part].activations, workspaces_[part].scratch,
                {0, 1, nullptr, nullptr});
    });
}

}  // namespace vt
