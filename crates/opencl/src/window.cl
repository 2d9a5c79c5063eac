// Sliding windows. All kernels gather: each result is one work-item's sum, over kernel elements in
// order, so no atomics are needed and the order is fixed. The six vectors of a window are its
// lengths along three axes.

#define WINDOW                                                                                     \
    const uint4 input, const uint4 kern, const uint4 stride, const uint4 padding,                  \
    const uint4 dilation, const uint4 output
#define PLANE(V) ((V).x * (V).y * (V).z)
// Index along an axis of the input that kernel element K of window O sees; positions in the padding
// are outside the input.
#define SEEN(AX, O, K) ((O) * stride.AX + (K) * dilation.AX - padding.AX)

// [planes, *input] to [planes, kernel, windows]; rows are (plane, kernel element, window along two
// axes).
__kernel void unfold(IN(xs), OUT(out), WINDOW, const uint planes) {
    const uint o2 = get_global_id(0), row = get_global_id(1), elements = PLANE(kern);
    uint at = row;
    AXIS(at, output.y, o1);
    AXIS(at, output.x, o0);
    AXIS(at, kern.z, k2);
    AXIS(at, kern.y, k1);
    AXIS(at, kern.x, k0);
    if (o2 >= output.z || row >= planes * elements * output.x * output.y) return;
    const uint x0 = SEEN(x, o0, k0), x1 = SEEN(y, o1, k1), x2 = SEEN(z, o2, k2);
    const int inside = x0 < input.x && x1 < input.y && x2 < input.z;
    const uint from = ((at * input.x + x0) * input.y + x1) * input.z + x2;
    out[out_start + row * output.z + o2] = inside ? xs[xs_start + from] : ZERO;
}

// Along an axis, the windows that span input position I, last first: that is the order of the
// kernel elements through which they see it.
#define FIRST_WINDOW(AX, I)                                                                        \
    ((I) + padding.AX >= SPAN(AX) ? ((I) + padding.AX - SPAN(AX)) / stride.AX + 1 : 0)
#define END_OF_WINDOWS(AX, I) min(((I) + padding.AX) / stride.AX + 1, output.AX)
#define SPAN(AX) ((kern.AX - 1) * dilation.AX + 1)
#define FOR_AXIS(AX, I, FIRST, END, O, K)                                                          \
    for (uint O##_next = END; O##_next > FIRST; O##_next--) {                                      \
        const uint O = O##_next - 1, O##_off = (I) + padding.AX - O * stride.AX;                   \
        const uint K = dilation.AX == 1 ? O##_off : O##_off / dilation.AX;                         \
        if (K * dilation.AX != O##_off) continue;

// Runs BODY with the window (o0, o1, o2) for every kernel element (k0, k1, k2) through which a
// window sees input position (i0, i1, i2).
#define FOR_WINDOWS(BODY)                                                                          \
    FOR_AXIS(x, i0, first0, end0, o0, k0)                                                          \
        FOR_AXIS(y, i1, first1, end1, o1, k1)                                                      \
            FOR_AXIS(z, i2, first2, end2, o2, k2) BODY }                                           \
        }                                                                                          \
    }

// A work-item per input position: rows are (plane, position along two axes). (Divisions come before
// the exit: so a compiler for cores may do them once per row.)
#define INPUT_POSITION                                                                             \
    const uint i2 = get_global_id(0), row = get_global_id(1);                                      \
    uint at = row;                                                                                 \
    AXIS(at, input.y, i1);                                                                         \
    AXIS(at, input.x, i0);                                                                         \
    const uint first0 = FIRST_WINDOW(x, i0), end0 = END_OF_WINDOWS(x, i0),                         \
        first1 = FIRST_WINDOW(y, i1), end1 = END_OF_WINDOWS(y, i1);                                \
    if (i2 >= input.z || row >= planes * input.x * input.y) return;                                \
    const uint first2 = FIRST_WINDOW(z, i2), end2 = END_OF_WINDOWS(z, i2);

// The adjoint of unfold: [planes, kernel, windows] to [planes, *input].
__kernel void fold(IN(xs), OUT(out), WINDOW, const uint planes) {
    INPUT_POSITION
    const uint windows = PLANE(output);
    __global const real *x = xs + xs_start + at * PLANE(kern) * windows;
    real sum = ZERO;
    FOR_WINDOWS(sum += x[((k0 * kern.y + k1) * kern.z + k2) * windows +
                         (o0 * output.y + o1) * output.z + o2];)
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

// The adjoint of gather: x [v, planes, windows] to [v, planes, *input]. The index of a window is a
// position that the window sees, so only the windows that see a position can have chosen it.
__kernel void scatter_add(IN(xs), INDEX(index), OUT(out), WINDOW, const uint planes,
                          const uint index_planes) {
    INPUT_POSITION
    const uint windows = PLANE(output), here = (i0 * input.y + i1) * input.z + i2;
    __global const real *x = xs + xs_start + at * windows;
    __global const uint *chosen = index + index_start + at % index_planes * windows;
    real sum = ZERO;
    FOR_WINDOWS(const uint window = (o0 * output.y + o1) * output.z + o2;
                if (chosen[window] == here) sum += x[window];)
    out[out_start + row * input.z + i2] = sum;
}

// The same for cores: a work-item per plane adds what each window chose, one after the other. shape
// = (windows, planes, planes of the index, input length).
__kernel void scatter_add_planes(IN(xs), INDEX(index), OUT(out), const uint4 shape) {
    const uint plane = get_global_id(0);
    if (plane >= shape.y) return;
    __global const real *x = xs + xs_start + plane * shape.x;
    __global const uint *chosen = index + index_start + plane % shape.z * shape.x;
    __global real *sums = out + out_start + plane * shape.w;
    for (uint i = 0; i < shape.w; i++) sums[i] = ZERO;
    for (uint o = 0; o < shape.x; o++) sums[min(chosen[o], shape.w - 1)] += x[o];
}

// Runs BODY with the input position of every kernel element that sees the input; rows are (plane,
// window along two axes).
#define OUTPUT_POSITION                                                                            \
    const uint o2 = get_global_id(0), row = get_global_id(1);                                      \
    uint at = row;                                                                                 \
    AXIS(at, output.y, o1);                                                                        \
    AXIS(at, output.x, o0);                                                                        \
    if (o2 >= output.z || row >= planes * output.x * output.y) return;

#define FOR_SEEN(BODY)                                                                             \
    for (uint k0 = 0; k0 < kern.x; k0++) {                                                         \
        const uint x0 = SEEN(x, o0, k0);                                                           \
        if (x0 >= input.x) continue;                                                               \
        for (uint k1 = 0; k1 < kern.y; k1++) {                                                     \
            const uint x1 = SEEN(y, o1, k1);                                                       \
            if (x1 >= input.y) continue;                                                           \
            for (uint k2 = 0; k2 < kern.z; k2++) {                                                 \
                const uint x2 = SEEN(z, o2, k2);                                                   \
                if (x2 >= input.z) continue;                                                       \
                const uint here = (x0 * input.y + x1) * input.z + x2;                              \
                BODY                                                                               \
            }                                                                                      \
        }                                                                                          \
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
__kernel void argmax(IN(xs), __global uint *index, const ulong index_start, WINDOW,
                     const uint planes) {
    OUTPUT_POSITION
    __global const real *x = xs + xs_start + at * PLANE(input);
    uint best = ~0u;
    real largest = ZERO;
    FOR_SEEN(const real next = x[here];
             if (best == ~0u || next > largest || (isnan(next) && !isnan(largest))) {
                 best = here;
                 largest = next;
             })
    index[index_start + row * output.z + o2] = best;
}

// out[v, p, o] = x[v, p, index[p, o]]; shape = (windows, v * planes, planes, input length).
__kernel void gather(IN(xs), INDEX(index), OUT(out), const uint4 shape) {
    const uint o = get_global_id(0), row = get_global_id(1);
    const uint plane = row % shape.z;
    if (o >= shape.x || row >= shape.y) return;
    const uint chosen = index[index_start + plane * shape.x + o];
    out[out_start + row * shape.x + o] = xs[xs_start + row * shape.w + chosen];
}

// Positions in planes of shape from.xyz as those in planes of shape to.xyz, whose first entry lies
// at `first` of the others; 0 where they leave them, and inside = 1 where not. from.w positions.
__kernel void translate_index(INDEX(index), __global uint *moved, const ulong moved_start,
                              OUT(inside), const uint4 from, const int4 first, const uint4 to) {
    const uint i = get_global_id(0);
    if (i >= from.w) return;
    uint at = index[index_start + i];
    AXIS(at, from.z, p2);
    AXIS(at, from.y, p1);
    // Positions in front wrap around to large ones.
    const uint q0 = at - first.x, q1 = p1 - first.y, q2 = p2 - first.z;
    const int stays = q0 < to.x && q1 < to.y && q2 < to.z;
    moved[moved_start + i] = stays ? (q0 * to.y + q1) * to.z + q2 : 0;
    inside[inside_start + i] = stays ? ONE : ZERO;
}
