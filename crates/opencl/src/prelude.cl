// What all kernels share. The host defines REAL (float or double), DOUBLE for the latter, VECTOR
// and WIDTH (a vector of REAL and its length) and HEIGHT (rows of the register tile on cores).
//
// A buffer is a pointer and the position of its first entry; shapes are counts of 32 bits.

#ifdef DOUBLE
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif

typedef REAL real;
typedef VECTOR vector;

#define IN(NAME) __global const real *NAME, const ulong NAME##_start
#define OUT(NAME) __global real *NAME, const ulong NAME##_start
#define INDEX(NAME) __global const uint *NAME, const ulong NAME##_start
#define AT(NAME) NAME += NAME##_start

// NaN wins, so that it can't hide behind a maximum or a minimum.
#define LARGER(A, B) ((A) > (B) || isnan(A) ? (A) : (B))
#define SMALLER(A, B) ((A) < (B) || isnan(A) ? (A) : (B))

// Folds in pairs, so that rounding grows with the logarithm of the length: PART number NUMBER joins
// its neighbours at as many levels as NUMBER ends in binary ones, and COUNT parts are left at the
// levels where COUNT has ones.
#define LEVELS 32
#define PUSH(LEVEL, NUMBER, PART, F) {                                                             \
    uint level_ = 0;                                                                               \
    for (uint number_ = NUMBER; number_ & 1; number_ >>= 1) {                                      \
        PART = F(LEVEL[level_], PART);                                                             \
        level_++;                                                                                  \
    }                                                                                              \
    LEVEL[level_] = PART;                                                                          \
}
#define JOIN(LEVEL, COUNT, WHOLE, F) {                                                             \
    uint level_ = 0;                                                                               \
    for (uint count_ = COUNT; count_; count_ >>= 1) {                                              \
        if (count_ & 1) WHOLE = F(LEVEL[level_], WHOLE);                                           \
        level_++;                                                                                  \
    }                                                                                              \
}
#define PLUS(A, B) ((A) + (B))

// Takes the index along an axis of length LEN off AT.
#define AXIS(AT, LEN, INTO) uint INTO = (AT) % (LEN); AT /= (LEN)

// Steps along the outer axes of vectors of 8 and of 16, innermost first: at most seven axes, which
// is usual, and at most eleven. (Unused axes have length one, but cost a division.)
#define NARROW(STEP) STEP(s7) STEP(s6) STEP(s5)                                                    \
    if (rank > 3) { STEP(s4) STEP(s3) STEP(s2) STEP(s1) }
#define WIDE(STEP) STEP(sf) STEP(se) STEP(sd) STEP(sc) STEP(sb) STEP(sa) STEP(s9)                  \
    STEP(s8) STEP(s7) STEP(s6) STEP(s5)
