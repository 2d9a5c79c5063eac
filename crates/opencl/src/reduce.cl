// Reductions in a fixed order, softmax, draws, and the search for NaN.

// Entries that are summed up before they join the rest: keeps rounding low.
#define RUN 32
// Work-items that share a long axis.
#define TEAM 64

#define TIMES(A, B) ((A) * (B))
#define ITSELF(A) (A)
#define SQUARE_OF(A) ((A) * (A))

// x [outer, axis, inner] to [outer, inner], a work-item per result; shape = (outer * inner, axis,
// inner).
#define REDUCTION(NAME, OF, F, EMPTY)                                                              \
    /* Of `count` entries, `step` apart. */                                                        \
    real fold_##NAME(__global const real *x, const uint count, const ulong step) {                 \
        real levels[LEVELS], whole = EMPTY;                                                        \
        uint runs = 0;                                                                             \
        for (uint first = 0; first < count; first += min((uint)RUN, count - first), runs++) {      \
            const uint end = first + min((uint)RUN, count - first);                                \
            real part = EMPTY;                                                                     \
            for (uint a = first; a < end; a++) {                                                   \
                const real next = OF(x[a * step]);                                                 \
                part = F(part, next);                                                              \
            }                                                                                      \
            PUSH(levels, runs, part, F)                                                            \
        }                                                                                          \
        JOIN(levels, runs, whole, F)                                                               \
        return whole;                                                                              \
    }                                                                                              \
    __kernel void reduce_##NAME(IN(xs), OUT(out), const uint4 shape) {                             \
        const uint i = get_global_id(0);                                                           \
        if (i >= shape.x) return;                                                                  \
        __global const real *x = xs + xs_start + (i / shape.z * shape.y) * shape.z + i % shape.z;  \
        out[out_start + i] = fold_##NAME(x, shape.y, shape.z);                                     \
    }                                                                                              \
    /* A team per result. Each work-item takes `shape.w` neighbours or, with 0, every TEAM-th      \
       entry. */                                                                                   \
    __kernel __attribute__((reqd_work_group_size(TEAM, 1, 1)))                                     \
    void reduce_long_##NAME(IN(xs), OUT(out), const uint4 shape) {                                 \
        __local real parts[TEAM];                                                                  \
        const uint i = get_group_id(0), own = get_local_id(0);                                     \
        __global const real *x = xs + xs_start + (i / shape.z * shape.y) * shape.z + i % shape.z;  \
        const uint first = min(shape.w ? own * shape.w : own, shape.y), rest = shape.y - first;    \
        const uint count = shape.w ? min(shape.w, rest) : (rest + TEAM - 1) / TEAM;                \
        const ulong step = shape.w ? shape.z : (ulong)TEAM * shape.z;                              \
        parts[own] = fold_##NAME(x + (ulong)first * shape.z, count, step);                         \
        for (uint half_team = TEAM / 2; half_team > 0; half_team /= 2) {                           \
            barrier(CLK_LOCAL_MEM_FENCE);                                                          \
            if (own < half_team) parts[own] = F(parts[own], parts[own + half_team]);               \
        }                                                                                          \
        if (own == 0) out[out_start + i] = parts[0];                                               \
    }

REDUCTION(sum, ITSELF, PLUS, ZERO)
REDUCTION(sum_squares, SQUARE_OF, PLUS, ZERO)
REDUCTION(max, ITSELF, LARGER, -INFINITY)
REDUCTION(min, ITSELF, SMALLER, INFINITY)
REDUCTION(product, ITSELF, TIMES, ONE)

// Softmax over the middle axis, shifted by the maximum; shape = (outer * inner, axis, inner).
__kernel void softmax(IN(xs), OUT(out), const uint4 shape) {
    const uint i = get_global_id(0);
    if (i >= shape.x) return;
    const uint first = (i / shape.z * shape.y) * shape.z + i % shape.z;
    __global const real *x = xs + xs_start + first;
    __global real *y = out + out_start + first;
    real largest = -INFINITY, sum = ZERO;
    for (uint a = 0; a < shape.y; a++) {
        const real next = x[a * shape.z];
        largest = LARGER(largest, next);
    }
    real levels[LEVELS];
    uint runs = 0;
    for (uint start = 0; start < shape.y; start += RUN, runs++) {
        const uint end = min(start + RUN, shape.y);
        real part = ZERO;
        for (uint a = start; a < end; a++) {
            const real e = exp(x[a * shape.z] - largest);
            y[a * shape.z] = e;
            part += e;
        }
        PUSH(levels, runs, part, PLUS)
    }
    JOIN(levels, runs, sum, PLUS)
    for (uint a = 0; a < shape.y; a++) y[a * shape.z] /= sum;
}

// One-hot draws: p [outer, axis, inner], u [m, outer, inner], out [m, outer, axis, inner]; shape =
// (m * outer * inner, axis, inner, outer).
__kernel void draw_one_hot(IN(ps), IN(us), OUT(out), const uint4 shape) {
    const uint i = get_global_id(0);
    if (i >= shape.x) return;
    const uint row = i / shape.z, here = i % shape.z;
    __global const real *p = ps + ps_start + (row % shape.w * shape.y) * shape.z + here;
    __global real *y = out + out_start + (row * shape.y) * shape.z + here;
    const real u = us[us_start + i];
    real below = ZERO;
    uint drawn = 0, found = 0;
    for (uint a = 0; a < shape.y; a++) {
        const real chance = p[a * shape.z];
        below += chance;
        // Rounding may leave the sum below u: then the last possible entry is drawn.
        if (!found && chance > ZERO) drawn = a;
        found |= u < below;
        y[a * shape.z] = ZERO;
    }
    if (shape.y > 0) y[drawn * shape.z] = ONE;
}

// The least position of a NaN or infinity in each of `count` parts of n entries, ~0 if there is
// none; shape = (n, count, entries of a part). Parts are neighbours or, with 0 entries, every
// count-th.
__kernel void non_finite(IN(xs), __global uint *found, const ulong found_start, const uint4 shape) {
    const uint own = get_global_id(0);
    if (own >= shape.y) return;
    const uint first = shape.z ? own * shape.z : own, step = shape.z ? 1 : shape.y;
    const uint end = shape.z ? min(first + shape.z, shape.x) : shape.x;
    uint least = ~0u;
    for (uint i = first; i < end; i += step)
        if (!isfinite(xs[xs_start + i])) least = min(least, i);
    found[found_start + own] = least;
}

// The least of each of `count` parts of n positions.
__kernel void least(INDEX(xs), __global uint *found, const ulong found_start, const uint4 shape) {
    const uint own = get_global_id(0);
    if (own >= shape.y) return;
    const uint first = own * shape.z, end = min(first + shape.z, shape.x);
    uint smallest = ~0u;
    for (uint i = first; i < end; i++) smallest = min(smallest, xs[xs_start + i]);
    found[found_start + own] = smallest;
}

// Makes x NaN if one of n searches has found something.
__kernel void mark(INDEX(found), OUT(x), const uint n) {
    if (get_global_id(0) > 0) return;
    uint smallest = ~0u;
    for (uint i = 0; i < n; i++) smallest = min(smallest, found[found_start + i]);
    if (smallest != ~0u) x[x_start] = (real)NAN;
}
