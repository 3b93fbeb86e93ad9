// Threads that wait between calls. `run` gives every thread, the caller's among them, the same job and its number.
//
// To wake a sleeping thread takes longer than a layer of a short text. So a thread that has nothing to do looks for work
// for a moment, giving its processor to whoever else wants it, and only then sleeps.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace vt {

class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Returns when job(0) … job(size() - 1) have returned. The job must not throw. One call at a time.
    void run(const std::function<void(int)>& job);

private:
    void work(int number);
    void stop();

    std::mutex mutex_;
    std::condition_variable started_, finished_;
    const std::function<void(int)>* job_ = nullptr;
    // Written under the mutex, so that no thread falls asleep beside a change; read without it by those who still look.
    std::atomic<unsigned> round_{0};
    std::atomic<int> busy_{0};
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> workers_;
};

// Holds threads until all have come. The steps between two meetings take microseconds, so it spins first; then it
// yields, as the one that is missing may need this processor.
class Barrier {
public:
    explicit Barrier(int threads) : threads_(threads) {}
    void wait();

private:
    const int threads_;
    std::atomic<int> arrived_{0};
    std::atomic<unsigned> phase_{0};
};

}  // namespace vt
