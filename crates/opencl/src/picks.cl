// Entries chosen along an axis, and running sums.

#define NOWHERE 0xffffffffu

// Numbers of entries from their coordinates, one axis after the other; shape = (length of the axis,
// count, axes, axis).
__kernel void positions(IN(xs), __global uint *out, const ulong out_start, const uint4 shape) {
    const uint i = get_global_id(0);
    if (i >= shape.y) return;
    const real x = round(xs[xs_start + (ulong)i * shape.z + shape.w]);
    const uint before = shape.w ? out[out_start + i] : 0;
    const int inside = x >= ZERO && x < (real)shape.x && before != NOWHERE;
    out[out_start + i] = inside ? before * shape.x + (uint)x : NOWHERE;
}

// Where position p of entry i of a plane lies in the index; plane = number in [columns, samples,
// outer]. how = (samples, own source, own index, per entry), shape = (outer, axis, picks, inner).
ulong index_at(const uint plane, const uint p, const uint i, const uint4 how, const uint4 shape) {
    const ulong n = how.z ? plane / shape.x % how.x : 0;
    if (how.w) return ((n * shape.x + plane % shape.x) * shape.z + p) * shape.w + i;
    return n * shape.z + p;
}

// y [columns, samples, outer, picks, inner]; rows are (plane, pick), `rows` of them.
__kernel void gather_axis(IN(xs), INDEX(index), OUT(out), const uint4 how, const uint4 shape,
                          const uint rows) {
    const uint i = get_global_id(0), row = get_global_id(1);
    const uint plane = row / shape.z, p = row % shape.z;
    if (i >= shape.w || row >= rows) return;
    const uint at = index[index_start + index_at(plane, p, i, how, shape)];
    const uint item = plane / shape.x, source = how.y ? item : item / how.x;
    const ulong from = ((ulong)(source * shape.x + plane % shape.x) * shape.y + at) * shape.w + i;
    out[out_start + (ulong)row * shape.w + i] = at < shape.y ? xs[xs_start + from] : (real)NAN;
}

// Its adjoint: a work-item adds what falls on some neighbours of a line along the axis, in the
// order of the picks. Rows are (plane of the source, part); parts = (number, length, rows, 0).
__kernel void scatter_axis(IN(ys), INDEX(index), OUT(out), const uint4 how, const uint4 shape,
                           const uint4 parts) {
    const uint i = get_global_id(0), row = get_global_id(1);
    const uint plane = row / parts.x, first = row % parts.x * parts.y;
    if (i >= shape.w || row >= parts.z) return;
    const uint end = min(first + parts.y, shape.y);
    __global real *sums = out + out_start + (ulong)plane * shape.y * shape.w + i;
    for (uint at = first; at < end; at++) sums[(ulong)at * shape.w] = ZERO;
    const uint source = plane / shape.x, o = plane % shape.x;
    const uint items = how.y ? 1 : how.x;
    for (uint n = 0; n < items; n++) {
        const uint here = (source * items + n) * shape.x + o;
        __global const real *y = ys + ys_start + (ulong)here * shape.z * shape.w + i;
        for (uint p = 0; p < shape.z; p++) {
            const uint at = index[index_start + index_at(here, p, i, how, shape)];
            if (at >= first && at < end) sums[(ulong)at * shape.w] += y[(ulong)p * shape.w];
        }
    }
}

// Where in a row of `len` an equal position stands first; shape = (length of a row, rows).
__kernel void first_equal(INDEX(index), __global uint *out, const ulong out_start,
                          const uint2 shape) {
    const uint i = get_global_id(0), row = get_global_id(1);
    if (i >= shape.x || row >= shape.y) return;
    __global const uint *own = index + index_start + row * shape.x;
    uint first = 0;
    while (own[first] != own[i]) first++;
    out[out_start + row * shape.x + i] = first;
}

// Running sums over the middle axis; shape = (outer * inner, axis, inner, 0), how = (exclusive,
// reverse).
__kernel void cumsum(IN(xs), OUT(out), const uint4 shape, const uint2 how) {
    const uint line = get_global_id(0);
    if (line >= shape.x) return;
    const ulong first = (ulong)(line / shape.z) * shape.y * shape.z + line % shape.z;
    __global const real *x = xs + xs_start + first;
    __global real *y = out + out_start + first;
    real sum = ZERO;
    for (uint step = 0; step < shape.y; step++) {
        const ulong at = (ulong)(how.y ? shape.y - 1 - step : step) * shape.z;
        const real before = sum;
        sum += x[at];
        y[at] = how.x ? before : sum;
    }
}
