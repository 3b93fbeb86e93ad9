// The C interface, translated: every argument is checked, every exception becomes a code. The work is in tensors.cpp
// and schedule.cpp.
#include "engine.h"

#include <new>
#include <string>

#include "cpu.h"
#include "session.h"

using vt::Refusal;
using vt::Session;

struct vt_engine {
    Session session;
};

namespace {

thread_local std::string last_error;

int32_t fail(int32_t code, const std::string& message) noexcept {
    try {
        last_error = message;
    } catch (...) {
        last_error.clear();
    }
    return code;
}

// Runs `body` and turns what it throws into a code.
template <class Body>
int32_t guarded(Body body) noexcept {
    try {
        body();
        return VT_OK;
    } catch (const Refusal& refusal) {
        return fail(refusal.code, refusal.what());
    } catch (const std::bad_alloc&) {
        return fail(VT_NO_MEMORY, "not enough memory");
    } catch (const std::exception& error) {
        return fail(VT_NO_MEMORY, error.what());  // the system refused a thread
    }
}

}  // namespace

int32_t vt_version(void) { return 4; }

const char* vt_isa(void) {
    const vt::Kernels* kernels = nullptr;
    guarded([&] {
        std::string why;
        kernels = vt::choose_kernels(why);
        if (!kernels) throw Refusal(VT_UNSUPPORTED, why);
    });
    return kernels ? kernels->name : nullptr;
}

vt_engine* vt_create(const vt_sizes* sizes, const vt_layer* layers, int32_t precision, int32_t threads) {
    vt_engine* engine = nullptr;
    guarded([&] {
        std::string why;
        const vt::Kernels* kernels = vt::choose_kernels(why);
        if (!kernels) throw Refusal(VT_UNSUPPORTED, why);
        if (!sizes || !layers) throw Refusal(VT_BAD_ARGUMENT, "sizes or layers is null");
        engine = new vt_engine{{*sizes, layers, precision, threads, *kernels}};
    });
    return engine;
}

void vt_destroy(vt_engine* engine) { delete engine; }

int32_t vt_set_tensor(vt_engine* engine, int32_t role, int32_t set, const float* data, int64_t rows, int64_t columns) {
    return guarded([&] {
        if (!engine || !data) throw Refusal(VT_BAD_ARGUMENT, "engine or data is null");
        engine->session.set_tensor(role, set, data, rows, columns);
    });
}

int32_t vt_ready(vt_engine* engine) {
    return guarded([&] {
        if (!engine) throw Refusal(VT_BAD_ARGUMENT, "engine is null");
        engine->session.ready();
    });
}

int32_t vt_encode(vt_engine* engine, const int64_t* ids, const int64_t* positions, const int64_t* types,
                  const int64_t* columns, int64_t tokens, const int64_t* boundaries, int64_t sequences, float* out) {
    return guarded([&] {
        if (!engine || !boundaries) throw Refusal(VT_BAD_ARGUMENT, "engine or boundaries is null");
        if (tokens > 0 && (!ids || !out)) throw Refusal(VT_BAD_ARGUMENT, "ids or out is null");
        engine->session.encode({ids, positions, types, columns, tokens, boundaries, sequences, out});
    });
}

const char* vt_last_error(void) { return last_error.c_str(); }
