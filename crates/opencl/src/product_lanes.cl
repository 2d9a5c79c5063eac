// Matrix products for cores: one work-item per tile of C. It packs panels of A and B into local
// memory (on cores: cache) and keeps HEIGHT x 2 vectors of C in registers while it runs along k.
//
// Batch axes as in the tiled product.

#define PANEL (2 * WIDTH)
#define PASTE_(A, B) A##B
#define PASTE(A, B) PASTE_(A, B)
#define LOAD PASTE(vload, WIDTH)
#define STORE PASTE(vstore, WIDTH)

#if HEIGHT == 12
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#else
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)
#endif

// c[HEIGHT, PANEL] (+)= alpha a b with packed a [depth, HEIGHT] and b [depth, PANEL]; only the
// first `rows` and `cols` are stored.
void panel_product(__local const real *a, __local const real *b, const uint depth, const real alpha,
                   __global real *c, const uint2 steps, const uint rows, const uint cols,
                   const uint add) {
#define START(I) vector left##I = ZERO, right##I = ZERO;
    EACH_ROW(START)
    for (uint k = 0; k < depth; k++) {
        const vector b_left = LOAD(0, b), b_right = LOAD(1, b);
#define MULTIPLY(I) {                                                                              \
    const vector s = a[I];                                                                         \
    left##I = fma(s, b_left, left##I);                                                             \
    right##I = fma(s, b_right, right##I);                                                          \
}
        EACH_ROW(MULTIPLY)
        a += HEIGHT;
        b += PANEL;
    }
    if (cols == PANEL && steps.y == 1) {
#define WHOLE(I)                                                                                   \
    if (I < rows) {                                                                                \
        __global real *to = c + (ulong)I * steps.x;                                                \
        STORE(add ? LOAD(0, to) + alpha * left##I : alpha * left##I, 0, to);                       \
        STORE(add ? LOAD(1, to) + alpha * right##I : alpha * right##I, 1, to);                     \
    }
        EACH_ROW(WHOLE)
    } else {
        real tile[HEIGHT * PANEL];
#define SPILL(I) STORE(alpha * left##I, 2 * I, tile); STORE(alpha * right##I, 2 * I + 1, tile);
        EACH_ROW(SPILL)
        for (uint i = 0; i < rows; i++)
            for (uint j = 0; j < cols; j++) {
                __global real *to = c + (ulong)i * steps.x + (ulong)j * steps.y;
                *to = add ? *to + tile[i * PANEL + j] : tile[i * PANEL + j];
            }
    }
}

// Packs `count` rows of x (strides: row, depth) into panels of `height`, [panel][depth][height],
// zeros where rows are missing.
#define PACK(NAME, height)                                                                         \
    void NAME(__global const real *x, const uint2 steps, const uint count, const uint depth,       \
              __local real *to) {                                                                  \
        for (uint first = 0; first < count; first += height, to += depth * height) {               \
            __global const real *from = x + (ulong)first * steps.x;                                \
            const uint rows = min((uint)height, count - first);                                    \
            if (rows < height)                                                                     \
                for (uint at = 0; at < depth * height; at++) to[at] = ZERO;                        \
            if (steps.x == 1 && rows == height) {                                                  \
                for (uint k = 0; k < depth; k++)                                                   \
                    for (uint i = 0; i < height; i++)                                              \
                        to[k * height + i] = from[(ulong)k * steps.y + i];                         \
            } else if (steps.y == 1) {                                                             \
                for (uint i = 0; i < rows; i++)                                                    \
                    for (uint k = 0; k < depth; k++)                                               \
                        to[k * height + i] = from[(ulong)i * steps.x + k];                         \
            } else {                                                                               \
                for (uint k = 0; k < depth; k++)                                                   \
                    for (uint i = 0; i < rows; i++)                                                \
                        to[k * height + i] = from[(ulong)i * steps.x + (ulong)k * steps.y];        \
            }                                                                                      \
        }                                                                                          \
    }
PACK(pack_a, HEIGHT)
PACK(pack_b, PANEL)

// Of rows from `row` on the first, counted from there, in whose panel something lies on or below
// the diagonal at column `col`.
uint first_below(const uint row, const uint col) {
    return col > row + HEIGHT - 1 ? (col - row) / HEIGHT * HEIGHT : 0;
}

// tile = (rows, columns, depth of a block): the first two multiples of HEIGHT and PANEL; a_panels
// and b_panels hold tile.x * tile.z and tile.y * tile.z numbers.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void product_lanes(
    IN(as), IN(bs), OUT(cs), const real alpha, const uint4 dims,
    const uint2 a_steps, const uint2 b_steps, const uint2 c_steps,
    const uint4 kept, const uint4 kept_a, const uint4 kept_b, const uint4 kept_c,
    const uint2 summed, const uint2 summed_a, const uint2 summed_b,
    const uint2 flags, const uint4 tile, __local real *a_panels, __local real *b_panels) {
    const uint m = dims.x, n = dims.y, k = dims.z, accumulate = flags.x, lower = flags.y;
    const uint columns = (n + tile.y - 1) / tile.y, number = get_group_id(0);
    const uint row = number / columns * tile.x, col = number % columns * tile.y;
    if (lower && col > row + tile.x - 1) return;
    const uint rows = min(tile.x, m - row), cols = min(tile.y, n - col);

    uint item = get_global_id(1);
    as += as_start + (ulong)row * a_steps.x;
    bs += bs_start + (ulong)col * b_steps.y;
    cs += cs_start + (ulong)row * c_steps.x + (ulong)col * c_steps.y;
#define KEPT(S) {                                                                                  \
    AXIS(item, kept.S, i);                                                                         \
    as += (ulong)i * kept_a.S;                                                                     \
    bs += (ulong)i * kept_b.S;                                                                     \
    cs += (ulong)i * kept_c.S;                                                                     \
}
    KEPT(s3) KEPT(s2) KEPT(s1) KEPT(s0)
#undef KEPT

    const uint terms = k == 0 ? 0 : summed.x * summed.y;
    if (terms == 0 && !accumulate)
        for (uint i = 0; i < rows; i++)
            for (uint j = 0; j < cols; j++) cs[(ulong)i * c_steps.x + (ulong)j * c_steps.y] = ZERO;
    for (uint term = 0; term < terms; term++) {
        const ulong s = term / summed.y, t = term % summed.y;
        __global const real *a = as + s * summed_a.x + t * summed_a.y;
        __global const real *b = bs + s * summed_b.x + t * summed_b.y;
        for (uint first = 0; first < k; first += tile.z) {
            const uint depth = min(tile.z, k - first), add = accumulate || term > 0 || first > 0;
            pack_a(a + (ulong)first * a_steps.y, a_steps, rows, depth, a_panels);
            pack_b(b + (ulong)first * b_steps.x, b_steps.yx, cols, depth, b_panels);
            for (uint j = 0; j < cols; j += PANEL)
                for (uint i = lower ? first_below(row, col + j) : 0; i < rows; i += HEIGHT)
                    panel_product(a_panels + i * depth, b_panels + j * depth, depth, alpha,
                                  cs + (ulong)i * c_steps.x + (ulong)j * c_steps.y, c_steps,
                                  min((uint)HEIGHT, rows - i), min((uint)PANEL, cols - j), add);
        }
    }
}

// C (+)= the sum of parts [count, m, n], in pairs; shape = (n, m, count, 0), flags = (accumulate,
// lower).
__kernel void add_parts(IN(parts), OUT(cs), const uint4 shape, const uint2 c_steps,
                        const uint2 flags) {
    const uint j = get_global_id(0), i = get_global_id(1);
    if (j >= shape.x || i >= shape.y || (flags.y && j > i)) return;
    __global real *to = cs + cs_start + (ulong)i * c_steps.x + (ulong)j * c_steps.y;
    real levels[LEVELS], sum = ZERO;
    for (uint at = 0; at < shape.z; at++) {
        real part = parts[parts_start + ((ulong)at * shape.y + i) * shape.x + j];
        PUSH(levels, at, part, PLUS)
    }
    JOIN(levels, shape.z, sum, PLUS)
    *to = flags.x ? *to + sum : sum;
}
