// Copies: filled, strided, selected, padded. Divisions come before the exit: so a compiler for
// cores may do them once per row.

__kernel void fill(OUT(out), const real value, const uint n) {
    const uint i = get_global_id(0);
    if (i < n) out[out_start + i] = value;
}

// Axes [outer..., inner] as in the binary maps; inner = (length, step, number of rows, first
// entry).
#define COPY_STRIDED(NAME, LEN, OVER)                                                              \
    __kernel void NAME(IN(xs), OUT(out), const uint4 inner, const uint rank, const uint##LEN lens, \
                       const uint##LEN steps) {                                                    \
        const uint i = get_global_id(0), row = get_global_id(1);                                   \
        uint at = row, p = inner.w;                                                                \
        OVER(STEP1)                                                                                \
        if (i >= inner.x || row >= inner.z) return;                                                \
        out[out_start + row * inner.x + i] = xs[xs_start + p + i * inner.y];                       \
    }

#define STEP1(S) { AXIS(at, lens.S, k); p += k * steps.S; }

COPY_STRIDED(copy_strided, 8, NARROW)
COPY_STRIDED(copy_strided_wide, 16, WIDE)

// Rows side by side in longer ones; shape = (length, length of the longer, number of rows).
__kernel void place(IN(xs), OUT(out), const uint4 shape) {
    const uint i = get_global_id(0), row = get_global_id(1);
    if (i < shape.x && row < shape.z)
        out[out_start + row * shape.y + i] = xs[xs_start + row * shape.x + i];
}

// Of x [outer, axis, inner] the entries `pick` of the middle axis; shape = (inner, axis, picks,
// outer).
__kernel void index_select(IN(xs), INDEX(pick), OUT(out), const uint4 shape) {
    const uint i = get_global_id(0), row = get_global_id(1);
    const uint o = row / shape.z, a = row % shape.z;
    if (i >= shape.x || row >= shape.z * shape.w) return;
    const uint from = o * shape.y + pick[pick_start + a];
    out[out_start + row * shape.x + i] = xs[xs_start + from * shape.x + i];
}

// ids where they are whole numbers below shape.x, NaN where not; with shape.z negative ones count
// from the end; shape.y ids.
__kernel void row_or_nan(IN(ids), OUT(out), const uint4 shape) {
    const uint i = get_global_id(0);
    if (i >= shape.y) return;
    const real rows = shape.x, id = ids[ids_start + i];
    const real row = shape.z && id < ZERO ? id + rows : id;
    out[out_start + i] = row >= ZERO && row < rows && row == trunc(row) ? row : (real)NAN;
}

// The identity matrix of n rows.
__kernel void eye(OUT(out), const uint n) {
    const uint i = get_global_id(0), row = get_global_id(1);
    if (i < n && row < n) out[out_start + row * n + i] = i == row ? ONE : ZERO;
}

// One-hot rows; shape = (classes, number of ids).
__kernel void one_hot(IN(ids), OUT(out), const uint2 shape) {
    const uint i = get_global_id(0), row = get_global_id(1);
    if (i >= shape.x || row >= shape.y) return;
    out[out_start + row * shape.x + i] = ids[ids_start + row] == (real)i ? ONE : ZERO;
}

// Zeros around x: axes of the result [outer..., inner] have lengths `lens`; x begins at `before`
// and is `from` long with strides `steps`. inner = (length, length in x, number of rows).
#define PAD(NAME, LEN, OVER)                                                                       \
    __kernel void NAME(IN(xs), OUT(out), const uint4 inner, const int inner_before,                \
                       const uint rank, const uint##LEN lens, const int##LEN before,               \
                       const uint##LEN from, const uint##LEN steps) {                              \
        const uint i = get_global_id(0), row = get_global_id(1);                                   \
        uint at = row, p = 0;                                                                      \
        int inside = 1;                                                                            \
        OVER(STEP_IN)                                                                              \
        if (i >= inner.x || row >= inner.z) return;                                                \
        /* Positions in front of x wrap around to large ones. */                                   \
        const uint here = i - inner_before;                                                        \
        inside &= here < inner.y;                                                                  \
        out[out_start + row * inner.x + i] = inside ? xs[xs_start + p + here] : ZERO;              \
    }

#define STEP_IN(S) {                                                                               \
    AXIS(at, lens.S, k);                                                                           \
    const uint here = k - before.S;                                                                \
    inside &= here < from.S;                                                                       \
    p += here * steps.S;                                                                           \
}

PAD(pad, 8, NARROW)
PAD(pad_wide, 16, WIDE)
