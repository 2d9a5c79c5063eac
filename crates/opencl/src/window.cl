// Sliding windows. All kernels gather: each result is one work-item's sum, over kernel elements in order, so no atomics are needed and
// the order is fixed. The six vectors of a window are its lengths along three axes.

#define WINDOW const uint4 input, const uint4 kern, const uint4 stride, const uint4 padding, const uint4 dilation, const uint4 output
#define PLANE(V) ((V).x * (V).y * (V).z)
// Index along an axis of the input that kernel element K of window O sees; positions in the padding are outside the input.
#define SEEN(AX, O, K) ((O) * stride.AX + (K) * dilation.AX - padding.AX)

// [planes, *input] to [planes, kernel, windows]; rows are (plane, kernel element, window along two axes).
__kernel void unfold(IN(xs), OUT(out), WINDOW, const uint planes) {
    const uint o2 = get_global_id(0), row = get_global_id(1), elements = PLANE(kern);
    uint at = row;
    if (o2 >= output.z || row >= planes * elements * output.x * output.y) return;
    AXIS(at, output.y, o1);
    AXIS(at, output.x, o0);
    AXIS(at, kern.z, k2);
    AXIS(at, kern.y, k1);
    AXIS(at, kern.x, k0);
    const uint x0 = SEEN(x, o0, k0), x1 = SEEN(y, o1, k1), x2 = SEEN(z, o2, k2);
    const int inside = x0 < input.x && x1 < input.y && x2 < input.z;
    const uint from = ((at * input.x + x0) * input.y + x1) * input.z + x2;
    out[out_start + row * output.z + o2] = inside ? xs[xs_start + from] : ZERO;
}

// Runs BODY with the window (o0, o1, o2) for every kernel element (k0, k1, k2) through which a window sees input position (i0, i1, i2).
#define FOR_WINDOWS(BODY)                                                                                                                  \
    for (uint k0 = 0; k0 < kern.x; k0++) {                                                                                                 \
        const uint s0 = i0 + padding.x - k0 * dilation.x, o0 = stride.x == 1 ? s0 : s0 / stride.x;                                         \
        if (o0 >= output.x || o0 * stride.x != s0) continue;                                                                               \
        for (uint k1 = 0; k1 < kern.y; k1++) {                                                                                             \
            const uint s1 = i1 + padding.y - k1 * dilation.y, o1 = stride.y == 1 ? s1 : s1 / stride.y;                                     \
            if (o1 >= output.y || o1 * stride.y != s1) continue;                                                                           \
            for (uint k2 = 0; k2 < kern.z; k2++) {                                                                                         \
                const uint s2 = i2 + padding.z - k2 * dilation.z, o2 = stride.z == 1 ? s2 : s2 / stride.z;                                 \
                if (o2 >= output.z || o2 * stride.z != s2) continue;                                                                       \
                BODY                                                                                                                       \
            }                                                                                                                              \
        }                                                                                                                                  \
    }

// A work-item per input position: rows are (plane, position along two axes).
#define INPUT_POSITION                                                                                                                     \
    const uint i2 = get_global_id(0), row = get_global_id(1);                                                                              \
    uint at = row;                                                                                                                         \
    if (i2 >= input.z || row >= planes * input.x * input.y) return;                                                                        \
    AXIS(at, input.y, i1);                                                                                                                 \
    AXIS(at, input.x, i0);

// The adjoint of unfold: [planes, kernel, windows] to [planes, *input].
__kernel void fold(IN(xs), OUT(out), WINDOW, const uint planes) {
    INPUT_POSITION
    const uint windows = PLANE(output);
    __global const real *x = xs + xs_start + at * PLANE(kern) * windows;
    real sum = ZERO;
    FOR_WINDOWS(sum += x[((k0 * kern.y + k1) * kern.z + k2) * windows + (o0 * output.y + o1) * output.z + o2];)
    out[out_start + row * input.z + i2] = sum;
}

// The adjoint of window_sum: [planes, windows] to [planes, *input].
__kernel void window_spread(IN(xs), OUT(out), WINDOW, const uint planes) {
    INPUT_POSITION
    __global const real *x = xs + xs_start + at * PLANE(output);
    real sum = ZERO;
    FOR_WINDOWS(sum += x[(o0 * output.y + o1) * output.z + o2];)
    out[out_start + row * input.z + i2] = sum;
}

// The adjoint of take: x [v, planes, windows] to [v, planes, *input]. The index of a window is a position that the window sees, so only
// the windows that see a position can have chosen it.
__kernel void put(IN(xs), INDEX(index), OUT(out), WINDOW, const uint planes, const uint index_planes) {
    INPUT_POSITION
    const uint windows = PLANE(output), here = (i0 * input.y + i1) * input.z + i2;
    __global const real *x = xs + xs_start + at * windows;
    __global const uint *chosen = index + index_start + at % index_planes * windows;
    real sum = ZERO;
    FOR_WINDOWS(const uint window = (o0 * output.y + o1) * output.z + o2; if (chosen[window] == here) sum += x[window];)
    out[out_start + row * input.z + i2] = sum;
}

// Runs BODY with the input position of every kernel element that sees the input; rows are (plane, window along two axes).
#define OUTPUT_POSITION                                                                                                                    \
    const uint o2 = get_global_id(0), row = get_global_id(1);                                                                              \
    uint at = row;                                                                                                                         \
    if (o2 >= output.z || row >= planes * output.x * output.y) return;                                                                     \
    AXIS(at, output.y, o1);                                                                                                                \
    AXIS(at, output.x, o0);

#define FOR_SEEN(BODY)                                                                                                                     \
    for (uint k0 = 0; k0 < kern.x; k0++) {                                                                                                 \
        const uint x0 = SEEN(x, o0, k0);                                                                                                   \
        if (x0 >= input.x) continue;                                                                                                       \
        for (uint k1 = 0; k1 < kern.y; k1++) {                                                                                             \
            const uint x1 = SEEN(y, o1, k1);                                                                                               \
            if (x1 >= input.y) continue;                                                                                                   \
            for (uint k2 = 0; k2 < kern.z; k2++) {                                                                                         \
                const uint x2 = SEEN(z, o2, k2);                                                                                           \
                if (x2 >= input.z) continue;                                                                                               \
                const uint here = (x0 * input.y + x1) * input.z + x2;                                                                      \
                BODY                                                                                                                       \
            }                                                                                                                              \
        }                                                                                                                                  \
    }

// The sum over each window; the padding counts as zero.
__kernel void window_sum(IN(xs), OUT(out), WINDOW, const uint planes) {
    OUTPUT_POSITION
    __global const real *x = xs + xs_start + at * PLANE(input);
    real sum = ZERO;
    FOR_SEEN(sum += x[here];)
    out[out_start + row * output.z + o2] = sum;
}

// The position of each window's largest entry, the first of several; a NaN wins.
__kernel void argmax(IN(xs), __global uint *index, const ulong index_start, WINDOW, const uint planes) {
    OUTPUT_POSITION
    __global const real *x = xs + xs_start + at * PLANE(input);
    uint best = ~0u;
    real largest = ZERO;
    FOR_SEEN(const real next = x[here]; if (best == ~0u || next > largest || (isnan(next) && !isnan(largest))) { best = here; largest = next; })
    index[index_start + row * output.z + o2] = best;
}

// out[v, p, o] = x[v, p, index[p, o]]; shape = (windows, v * planes, planes, input length).
__kernel void take(IN(xs), INDEX(index), OUT(out), const uint4 shape) {
    const uint o = get_global_id(0), row = get_global_id(1);
    if (o >= shape.x || row >= shape.y) return;
    const uint chosen = index[index_start + row % shape.z * shape.x + o];
    out[out_start + row * shape.x + o] = xs[xs_start + row * shape.w + chosen];
}
