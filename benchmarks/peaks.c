/* What the cores can multiply when nothing but registers is touched: the ceiling of every product of matrices.

   24 independent accumulators hide the latency of each instruction, no operand comes from memory, so the rate is that of
   the processor's multipliers alone. Prints JSON: operations per second on so many threads, a multiply-add being two.
   Only instructions that the processor has are run. Usage: peaks THREADS */
#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ZMM(op, d) op " %%zmm0,%%zmm1,%%zmm" #d "\n"
#define YMM(op, d) op " %%ymm0,%%ymm1,%%ymm" #d "\n"
#define EIGHT(one, op, a, b, c, d, e, f, g, h) one(op, a) one(op, b) one(op, c) one(op, d) one(op, e) one(op, f) one(op, g) one(op, h)
#define ZMM_24(op) EIGHT(ZMM, op, 8, 9, 10, 11, 12, 13, 14, 15) EIGHT(ZMM, op, 16, 17, 18, 19, 20, 21, 22, 23) EIGHT(ZMM, op, 24, 25, 26, 27, 28, 29, 30, 31)
#define YMM_12(op) EIGHT(YMM, op, 4, 5, 6, 7, 8, 9, 10, 11) YMM(op, 12) YMM(op, 13) YMM(op, 14) YMM(op, 15)
#define USED "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define LOOP(name, clear, body) \
    static void name(long times) { \
        __asm__ volatile(clear ::: USED); \
        for (long i = 0; i < times; i++) __asm__ volatile(body ::: USED); \
    }
/* zmm16-31 hold nothing of the compiler's: this file is compiled without AVX. */
LOOP(zmm_float32, "vpxorq %%zmm0,%%zmm0,%%zmm0\nvpxorq %%zmm1,%%zmm1,%%zmm1\n", ZMM_24("vfmadd231ps"))
LOOP(zmm_bfloat16, "vpxorq %%zmm0,%%zmm0,%%zmm0\nvpxorq %%zmm1,%%zmm1,%%zmm1\n", ZMM_24("vdpbf16ps"))
LOOP(zmm_float16, "vpxorq %%zmm0,%%zmm0,%%zmm0\nvpxorq %%zmm1,%%zmm1,%%zmm1\n", ZMM_24("vfmadd231ph"))
LOOP(zmm_int8, "vpxorq %%zmm0,%%zmm0,%%zmm0\nvpxorq %%zmm1,%%zmm1,%%zmm1\n", ZMM_24("vpdpbusd"))
LOOP(ymm_float32, "vpxor %%ymm0,%%ymm0,%%ymm0\nvpxor %%ymm1,%%ymm1,%%ymm1\n", YMM_12("vfmadd231ps"))
/* Without VNNI: twice two products to 16 bits, their sum, and that to 32 bits. */
#define FOURS(op, d) "vpmaddubsw %%ymm0,%%ymm1,%%ymm2\nvpmaddubsw %%ymm0,%%ymm1,%%ymm3\nvpaddw %%ymm2,%%ymm3,%%ymm3\n" \
                     "vpmaddwd %%ymm3,%%ymm1,%%ymm3\nvpaddd %%ymm3,%%ymm" #d ",%%ymm" #d "\n"
LOOP(ymm_fours, "vpxor %%ymm0,%%ymm0,%%ymm0\nvpxor %%ymm1,%%ymm1,%%ymm1\n", EIGHT(FOURS, , 4, 5, 6, 7, 8, 9, 10, 11) FOURS(, 12) FOURS(, 13) FOURS(, 14) FOURS(, 15))
LOOP(ymm_int8, "vpxor %%ymm0,%%ymm0,%%ymm0\nvpxor %%ymm1,%%ymm1,%%ymm1\n", YMM_12("%{vex%} vpdpbusd"))

typedef struct {
    const char *name;
    void (*loop)(long);
    int has;
    double operations; /* of one pass of the loop */
} Kind;

typedef struct {
    void (*loop)(long);
    long times;
} Task;

static void *work(void *task) {
    ((Task *)task)->loop(((Task *)task)->times);
    return NULL;
}

static double seconds(Kind kind, long times, int threads) {
    pthread_t running[256];
    Task task = {kind.loop, times};
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, work, &task);
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1 || threads > 256) return 2;
    unsigned a, b = 0, c = 0, d = 0, a1 = 0, b1, c1, d1;
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    int avx512 = __builtin_cpu_supports("avx512f"), avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int bf16 = a1 >> 5 & 1, avx_vnni = a1 >> 4 & 1, fp16 = d >> 23 & 1, vnni = c >> 11 & 1;
    Kind kinds[] = {
        {"float32", avx512 ? zmm_float32 : ymm_float32, avx512 || avx2, avx512 ? 24 * 32 : 12 * 16},
        {"bfloat16", zmm_bfloat16, avx512 && bf16, 24 * 64},
        {"float16", zmm_float16, avx512 && fp16, 24 * 64},
        avx512 && vnni ? (Kind){"int8", zmm_int8, 1, 24 * 128}
        : avx_vnni     ? (Kind){"int8", ymm_int8, 1, 12 * 64}
                       : (Kind){"int8", ymm_fours, avx2, 12 * 128},
    };
    const char *between = "{";
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!kinds[k].has) continue;
        double found[7];
        long times = 5000000;
        for (int round = 0; round < 7; round++) found[round] = seconds(kinds[k], times, threads);
        qsort(found, 7, sizeof(double), ascending);
        printf("%s\"%s\": %.4g", between, kinds[k].name, kinds[k].operations * (double)times * threads / found[3]);
        between = ", ";
    }
    printf("}\n");
    return 0;
}
