// The engine as a process: it reads calls from standard input and writes what they return to standard output, in the
// byte order of the machine (remote.py is the other end). An emulator can run it where Python and torch would be too slow.
//
// A call is its name's letter and its arguments; an array is its number of bytes and the bytes, -1 for NULL.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

namespace {

using Bytes = std::unique_ptr<std::vector<char>>;

void read(void* place, size_t size) {
    if (size && std::fread(place, 1, size, stdin) != size) std::exit(0);  // the other end is gone
}

template <class T>
T number() {
    T value;
    read(&value, sizeof value);
    return value;
}

Bytes array() {
    const auto size = number<int64_t>();
    if (size < 0) return nullptr;
    auto bytes = std::make_unique<std::vector<char>>(size);
    read(bytes->data(), size);
    return bytes;
}

template <class T>
const T* of(const Bytes& bytes) {
    return bytes ? reinterpret_cast<const T*>(bytes->data()) : nullptr;
}

template <class T>
void answer(T value) {
    std::fwrite(&value, sizeof value, 1, stdout);
}

void answer_text(const char* text) {
    const int64_t size = text ? static_cast<int64_t>(std::strlen(text)) : -1;
    answer(size);
    if (text) std::fwrite(text, 1, size, stdout);
}

// The tables that an engine does not copy, by role and set.
struct Held {
    vt_engine* engine;
    std::map<std::pair<int32_t, int32_t>, Bytes> tables;
};

}  // namespace

int main() {
    std::map<int64_t, Held> engines;
    int64_t last = 0;
    for (;;) {
        switch (number<char>()) {
            case 'v': answer(vt_version()); break;
            case 'e': answer_text(vt_last_error()); break;
            case 's': {  // the instruction set to choose; empty for the best
                const Bytes name = array();
                setenv("VITRAIL_ISA", std::string(name->begin(), name->end()).c_str(), 1);
                break;
            }
            case 'i': answer_text(vt_isa()); break;
            case 'c': {
                const Bytes sizes = array(), layers = array();
                const auto precision = number<int32_t>(), threads = number<int32_t>();
                vt_engine* engine = vt_create(of<vt_sizes>(sizes), of<vt_layer>(layers), precision, threads);
                if (engine) engines[++last].engine = engine;
                answer<int64_t>(engine ? last : 0);
                break;
            }
            case 'd': {
                const auto handle = number<int64_t>();
                vt_destroy(engines[handle].engine);
                engines.erase(handle);
                break;
            }
            case 't': {
                Held& held = engines[number<int64_t>()];
                const auto role = number<int32_t>(), set = number<int32_t>();
                const auto rows = number<int64_t>(), columns = number<int64_t>();
                Bytes data = array();
                answer(vt_set_tensor(held.engine, role, set, of<float>(data), rows, columns));
                if (role <= VT_SCORE_BIAS) held.tables[{role, set}] = std::move(data);
                break;
            }
            case 'r': answer(vt_ready(engines[number<int64_t>()].engine)); break;
            case 'x': {
                vt_engine* engine = engines[number<int64_t>()].engine;
                const Bytes ids = array(), positions = array(), types = array(), columns = array();
                const Bytes boundaries = array();
                const auto tokens = number<int64_t>(), sequences = number<int64_t>(), floats = number<int64_t>();
                std::vector<float> out(floats);
                answer(vt_encode(engine, of<int64_t>(ids), of<int64_t>(positions), of<int64_t>(types),
                                 of<int64_t>(columns), tokens, of<int64_t>(boundaries), sequences, out.data()));
                std::fwrite(out.data(), sizeof(float), out.size(), stdout);
                break;
            }
            default: return 1;
        }
        std::fflush(stdout);
    }
}
