// One mutex and two conditions: workers wait for a new round, the caller for the last worker of it.
#include "pool.h"

#include <immintrin.h>

namespace vt {

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
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [this] { return busy_ == 0; });
}

void Pool::work(int number) {
    unsigned seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        started_.wait(lock, [&] { return stopping_ || round_ != seen; });
        if (stopping_) return;
        seen = round_;
        const std::function<void(int)>& job = *job_;
        lock.unlock();
        job(number);
        lock.lock();
        if (--busy_ == 0) finished_.notify_one();
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
            _mm_pause();
        else
            std::this_thread::yield();
    }
}

}  // namespace vt
