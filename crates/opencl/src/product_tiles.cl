// Matrix products for GPUs: a work-group of 16 x 16 per tile of C, both operands' tiles in local
// memory, PER x PER entries of C in registers per work-item. Compiled for several PRODUCT (its
// name) and PER.
//
// Batch axes: up to four that C keeps and two that it sums over, outermost first, padded with
// length 1 in front.

#define TILE (16 * PER)
#define DEPTH 16

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void PRODUCT(
    IN(as), IN(bs), OUT(cs), const real alpha, const uint4 dims,
    const uint2 a_steps, const uint2 b_steps, const uint2 c_steps,
    const uint4 kept, const uint4 kept_a, const uint4 kept_b, const uint4 kept_c,
    const uint2 summed, const uint2 summed_a, const uint2 summed_b,
    const uint2 flags) {
    // One row or column more than needed: neighbours then lie in different banks, whichever way a
    // tile is written.
    __local real a_tile[DEPTH][TILE + 1];
    __local real b_tile[DEPTH][TILE + 1];
    const uint m = dims.x, n = dims.y, k = dims.z, own = get_local_id(0), tx = own % 16,
               ty = own / 16;
    const uint columns = (n + TILE - 1) / TILE, tile = get_group_id(0);
    const uint row = tile / columns * TILE, col = tile % columns * TILE;
    const uint accumulate = flags.x, lower = flags.y;
    if (lower && col > row + TILE - 1) return;

    uint item = get_global_id(1);
    as += as_start;
    bs += bs_start;
    cs += cs_start;
#define KEPT(S) {                                                                                  \
    AXIS(item, kept.S, i);                                                                         \
    as += (ulong)i * kept_a.S;                                                                     \
    bs += (ulong)i * kept_b.S;                                                                     \
    cs += (ulong)i * kept_c.S;                                                                     \
}
    KEPT(s3) KEPT(s2) KEPT(s1) KEPT(s0)

    real sums[PER][PER];
    for (uint i = 0; i < PER; i++)
        for (uint j = 0; j < PER; j++) sums[i][j] = ZERO;

    const uint terms = summed.x * summed.y;
    for (uint term = 0; term < terms; term++) {
        const ulong s = term / summed.y, t = term % summed.y;
        __global const real *a = as + s * summed_a.x + t * summed_a.y;
        __global const real *b = bs + s * summed_b.x + t * summed_b.y;
        for (uint first = 0; first < k; first += DEPTH) {
            // Neighbouring work-items read along the axis that is contiguous.
            for (uint at = own; at < TILE * DEPTH; at += 256) {
                const uint kk = a_steps.y == 1 ? at % DEPTH : at / TILE,
                           i = a_steps.y == 1 ? at / DEPTH : at % TILE;
                const int inside = row + i < m && first + kk < k;
                const ulong from = (ulong)(row + i) * a_steps.x + (ulong)(first + kk) * a_steps.y;
                a_tile[kk][i] = inside ? a[from] : ZERO;
            }
            for (uint at = own; at < TILE * DEPTH; at += 256) {
                const uint kk = b_steps.x == 1 ? at % DEPTH : at / TILE,
                           j = b_steps.x == 1 ? at / DEPTH : at % TILE;
                const int inside = col + j < n && first + kk < k;
                const ulong from = (ulong)(first + kk) * b_steps.x + (ulong)(col + j) * b_steps.y;
                b_tile[kk][j] = inside ? b[from] : ZERO;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint kk = 0; kk < DEPTH; kk++) {
                real a_own[PER], b_own[PER];
                for (uint i = 0; i < PER; i++) a_own[i] = a_tile[kk][ty + 16 * i];
                for (uint j = 0; j < PER; j++) b_own[j] = b_tile[kk][tx + 16 * j];
                for (uint i = 0; i < PER; i++)
                    for (uint j = 0; j < PER; j++) sums[i][j] += a_own[i] * b_own[j];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }

    for (uint i = 0; i < PER; i++)
        for (uint j = 0; j < PER; j++) {
            const uint r = row + ty + 16 * i, c = col + tx + 16 * j;
            if (r < m && c < n) {
                __global real *to = cs + (ulong)r * c_steps.x + (ulong)c * c_steps.y;
                const real sum = alpha * sums[i][j];
                *to = accumulate ? *to + sum : sum;
            }
        }
#undef KEPT
}
#undef DEPTH
