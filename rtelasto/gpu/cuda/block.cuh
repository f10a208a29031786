// Thread blocks as plain functions, so that every kernel also runs, unchanged, on a CPU.
//
// A kernel body is a `..._block` function: a sequence of `each` loops over work items. On a GPU the
// items of a loop are distributed over the threads of the block and a barrier ends the loop; on a CPU
// the loop runs in order (or, to find loops whose items depend on one another, in reverse). Items pass
// results to a later loop in the block's scratch, which is shared memory on a GPU.
//
// Rules that keep both the same: inside a loop an item reads nothing that another item of it writes;
// `if`, `while` and `return` around loops depend on values that are the same for the whole block and
// that the next loop does not write.

#ifdef __CUDACC__
#define HD __host__ __device__ inline
#else
#include <cmath>
#include <cstring>
#define HD inline
static bool run_in_reverse;
#endif

struct Block {
    int x, y, z;
};

template <class Item>
HD void each(int n, Item item) {
#ifdef __CUDA_ARCH__
    for (int i = threadIdx.x; i < n; i += blockDim.x) item(i);
    __syncthreads();
#elif !defined(__CUDACC__)
    for (int i = 0; i < n; ++i) item(run_in_reverse ? n - 1 - i : i);
#endif
}

// Adds to a count that the items of one loop share.
HD void count(unsigned* bin, unsigned number) {
#ifdef __CUDA_ARCH__
    atomicAdd(bin, number);
#else
    *bin += number;
#endif
}

// Whether this block is the last of `blocks` of a launch to come here, with `arrived` in global memory, 0
// before the launch and after it. What the other blocks wrote before they came is then there to read.
HD bool is_last(int blocks, unsigned* arrived, int* last) {
    each(1, [&](int) {
#ifdef __CUDA_ARCH__
        __threadfence();
        *last = atomicAdd(arrived, 1u) == blocks - 1u;
        __threadfence();
#else
        *last = ++*arrived == (unsigned)blocks;
#endif
        if (*last) *arrived = 0;
    });
    return *last;
}

HD int least(int a, int b) { return a < b ? a : b; }
HD int most(int a, int b) { return a > b ? a : b; }
HD int within(int value, int low, int high) { return most(low, least(value, high)); }
HD float within(float value, float low, float high) {
    return fmaxf(low, fminf(value, high));
}

// Sine and cosine of a number of whole turns.
HD void turn(float turns, float* sine, float* cosine) {
#ifdef __CUDA_ARCH__
    sincospif(2.0f * turns, sine, cosine);
#else
    *sine = sinf(6.28318530717958648f * turns);
    *cosine = cosf(6.28318530717958648f * turns);
#endif
}

HD float inverse_root(float value) {
#ifdef __CUDA_ARCH__
    return rsqrtf(value);
#else
    return 1.0f / sqrtf(value);
#endif
}

#define NOT_A_NUMBER 0xffffffffu  // after every number in their order

// A float's order among floats as an unsigned integer.
HD unsigned order_of(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

HD float from_order(unsigned order) {
    unsigned bits = order & 0x80000000u ? order & 0x7fffffffu : ~order;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// Sum of n numbers, the same in every run; `partial` holds SUM_PARTS doubles and is free afterwards.
// On return partial[0] is the sum.
template <class Term>
HD void sum_of(int n, double* partial, Term term) {
    each(SUM_PARTS, [&](int part) {
        double total = 0.0;
        for (int i = part; i < n; i += SUM_PARTS) total += term(i);
        partial[part] = total;
    });
    for (int half = SUM_PARTS / 2; half > 0; half /= 2)
        each(half, [&](int part) { partial[part] += partial[part + half]; });
}

// `NAME_block(Block, const Work&, int step, Scratch&)` as the GPU kernel NAME, or as a CPU function
// that runs the blocks of a grid one after another.
#ifdef __CUDACC__
#define KERNEL(NAME, SCRATCH)                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS)                            \
        NAME(const Work* work, int step) {                                           \
        __shared__ SCRATCH scratch;                                                  \
        NAME##_block(Block{(int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z},       \
                     *work, step, scratch);                                          \
    }
#else
#define KERNEL(NAME, SCRATCH)                                                        \
    extern "C" void NAME(const Work* work, int step, int nx, int ny, int nz) {       \
        static SCRATCH scratch;                                                      \
        for (int i = 0; i < nx * ny * nz; ++i) {                                     \
            const int k = run_in_reverse ? nx * ny * nz - 1 - i : i;                 \
            memset((void*)&scratch, 0xff, sizeof scratch);                           \
            NAME##_block(Block{k % nx, k / nx % ny, k / nx / ny}, *work, step,       \
                         scratch);                                                   \
        }                                                                            \
    }
#endif
