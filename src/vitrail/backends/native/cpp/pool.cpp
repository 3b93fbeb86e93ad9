// One mutex and two conditions for those who sleep: workers wait for a new round, the caller for the last worker of it.
#include "pool.h"

#include <chrono>

namespace vt {
namespace {

// Tells the processor that this is a loop that waits.
void pause() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    asm volatile("yield");
#endif
}

// As long as what Python does between two short texts, and no burden for anybody.
constexpr std::chrono::microseconds moment{1000};

// Whether `done` came true within a moment.
template <class Done>
bool soon(Done done) {
    constexpr int pauses = 64;  // between two looks at the clock
    const auto end = std::chrono::steady_clock::now() + moment;
    do {
        for (int i = 0; i < pauses; i++) {
            if (done()) return true;
            pause();
        }
        std::this_thread::yield();
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

}  // namespace

Pool::Pool(int threads) {
    try {
        for (int number = 1; number < threads; number++) workers_.emplace_back(&Pool::work, this, number);
    } catch (...) {
        stop();
        throw;
    }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    started_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void Pool::run(const std::function<void(int)>& job) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        job_ = &job;
        busy_ = static_cast<int>(workers_.size());
        round_++;
    }
    started_.notify_all();
    job(0);
    const auto done = [this] { return busy_ == 0; };
    if (soon(done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, done);
}

void Pool::work(int number) {
    unsigned seen = 0;
    const auto called = [&] { return stopping_ || round_ != seen; };
    for (;;) {
        if (!soon(called)) {
            std::unique_lock<std::mutex> lock(mutex_);
            started_.wait(lock, called);
        }
        if (stopping_) return;
        seen = round_;
        (*job_)(number);
        bool last;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            last = --busy_ == 0;
        }
        if (last) finished_.notify_one();
    }
}

void Barrier::wait() {
    constexpr int spins = 2000;
    const unsigned phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.store(phase + 1, std::memory_order_release);
        return;
    }
    for (int spin = 0; phase_.load(std::memory_order_acquire) == phase; spin++) {
        if (spin < spins)
            pause();
        else
            std::this_thread::yield();
    }
}

}  // namespace vt
