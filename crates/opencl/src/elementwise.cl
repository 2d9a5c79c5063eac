// Element-wise maps: one row per map with f, f' and f'' as in the host's table. In a row x is the
// argument, y = f(x), a and b are parameters.

#define ROW(NAME, F, D1, D2)                                                                       \
    __kernel void unary_##NAME(IN(xs), OUT(out), const real a, const real b, const uint n) {       \
        const uint i = get_global_id(0);                                                           \
        if (i >= n) return;                                                                        \
        const real x = xs[xs_start + i];                                                           \
        out[out_start + i] = F;                                                                    \
    }                                                                                              \
    __kernel void chain_##NAME(IN(xs), IN(ys), IN(mat), OUT(out), const real a, const real b,      \
                               const uint2 shape) {                                                \
        const uint i = get_global_id(0), v = get_global_id(1);                                     \
        if (i >= shape.x || v >= shape.y) return;                                                  \
        const real x = xs[xs_start + i], y = ys[ys_start + i];                                     \
        const uint at = v * shape.x + i;                                                           \
        out[out_start + at] = mat[mat_start + at] * (D1);                                          \
    }                                                                                              \
    __kernel void second_##NAME(IN(xs), IN(ys), OUT(out), const real a, const real b,              \
                                const uint n) {                                                    \
        const uint i = get_global_id(0);                                                           \
        if (i >= n) return;                                                                        \
        const real x = xs[xs_start + i], y = ys[ys_start + i];                                     \
        out[out_start + i] = D2;                                                                   \
    }

#define ONE ((real)1)
#define ZERO ((real)0)

real sigmoid(const real x) { return ONE / (ONE + exp(-x)); }
// log(1 + e^x) without overflow.
real softplus(const real x) { return isnan(x) ? x : (x > ZERO ? x : ZERO) + log1p(exp(-fabs(x))); }
real normal_cdf(const real x) { return (real)0.5 * (ONE + erf(x * (real)0.70710678118654752)); }
real normal_density(const real x) { return (real)0.39894228040143268 * exp(-(real)0.5 * x * x); }
// GELU's approximation x/2 (1 + tanh u) is x s(2u) with the sigmoid s; this form keeps its digits
// where tanh is near -1.
real gelu_inner(const real x) {
    return (real)(2 * 0.79788456080286536) * (x + (real)0.044715 * x * x * x);
}
real gelu_inner_d1(const real x) {
    return (real)(2 * 0.79788456080286536) * (ONE + (real)(3 * 0.044715) * x * x);
}
real gelu_tanh_d2(const real x) {
    const real s = sigmoid(gelu_inner(x)), slope = s * sigmoid(-gelu_inner(x)),
               d1 = gelu_inner_d1(x);
    const real d2 = (real)(12 * 0.79788456080286536 * 0.044715) * x;
    return slope * ((real)2 * d1 + x * ((sigmoid(-gelu_inner(x)) - s) * d1 * d1 + d2));
}
#define SELU_SCALE ((real)1.0507009873554805)
#define SELU_ALPHA ((real)1.6732632423543772)

ROW(relu, x <= ZERO ? ZERO : x, x > ZERO ? ONE : ZERO, ZERO)
ROW(sigmoid, sigmoid(x), y * (ONE - y), y * (ONE - y) * (ONE - y - y))
ROW(tanh, tanh(x), ONE - y * y, -(y + y) * (ONE - y * y))
ROW(leaky_relu, x > ZERO ? x : a * x, x > ZERO ? ONE : a, ZERO)
ROW(elu, x > ZERO ? x : a * expm1(x), x > ZERO ? ONE : y + a, x > ZERO ? ZERO : y + a)
ROW(selu, SELU_SCALE * (x > ZERO ? x : SELU_ALPHA * expm1(x)),
    x > ZERO ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA,
    x > ZERO ? ZERO : y + SELU_SCALE * SELU_ALPHA)
ROW(log_sigmoid, -softplus(-x), sigmoid(-x), -sigmoid(x) * sigmoid(-x))
ROW(softplus, softplus(a * x) / a, sigmoid(a * x), a * sigmoid(a * x) * sigmoid(-a * x))
ROW(silu, x * sigmoid(x), sigmoid(x) * (ONE + x * sigmoid(-x)),
    sigmoid(x) * sigmoid(-x) * ((real)2 + x * (sigmoid(-x) - sigmoid(x))))
ROW(gelu, x * normal_cdf(x), normal_cdf(x) + x * normal_density(x),
    normal_density(x) * ((real)2 - x * x))
ROW(gelu_tanh, x * sigmoid(gelu_inner(x)),
    sigmoid(gelu_inner(x)) +
        x * sigmoid(gelu_inner(x)) * sigmoid(-gelu_inner(x)) * gelu_inner_d1(x),
    gelu_tanh_d2(x))
ROW(hard_tanh, x < a ? a : x > b ? b : x, x > a && x < b ? ONE : ZERO, ZERO)
ROW(abs, fabs(x), x > ZERO ? ONE : x < ZERO ? -ONE : ZERO, ZERO)
ROW(sign, x > ZERO ? ONE : x < ZERO ? -ONE : x, ZERO, ZERO)
ROW(exp, exp(x), y, y)
ROW(ln, log(x), ONE / x, -ONE / (x * x))
ROW(sqrt, sqrt(x), ONE / (y + y), -ONE / ((real)2 * (y + y) * x))
ROW(square, x * x, x + x, (real)2)
ROW(recip, ONE / x, -y * y, (y + y) * y * y)
ROW(scale, a * x, a, ZERO)
ROW(shift, x + a, ONE, ZERO)

// f(a, b) over axes [outer..., inner]; the outer ones are the last `rank` of `lens`. Strides of 0
// repeat.
#define PAIR_OVER(NAME, LEN, OVER, F)                                                              \
    __kernel void NAME(IN(as), IN(bs), OUT(out), const uint4 inner, const uint rank,               \
                       const uint##LEN lens, const uint##LEN a_steps, const uint##LEN b_steps) {   \
        const uint i = get_global_id(0), row = get_global_id(1);                                   \
        uint at = row, p = 0, q = 0;                                                               \
        OVER(STEP2)                                                                                \
        if (i >= inner.x || row >= inner.w) return;                                                \
        const real a = as[as_start + p + i * inner.y], b = bs[bs_start + q + i * inner.z];         \
        out[out_start + row * inner.x + i] = F;                                                    \
    }

#define PAIR(NAME, F)                                                                              \
    PAIR_OVER(binary_##NAME, 8, NARROW, F)                                                         \
    PAIR_OVER(binary_##NAME##_wide, 16, WIDE, F)                                                   \
    __kernel void binary_flat_##NAME(IN(as), IN(bs), OUT(out), const uint n) {                     \
        const uint i = get_global_id(0);                                                           \
        if (i >= n) return;                                                                        \
        const real a = as[as_start + i], b = bs[bs_start + i];                                     \
        out[out_start + i] = F;                                                                    \
    }

#define STEP2(S) { AXIS(at, lens.S, k); p += k * a_steps.S; q += k * b_steps.S; }

PAIR(add, a + b)
PAIR(sub, a - b)
PAIR(mul, a * b)
PAIR(div, a / b)

__kernel void axpy(IN(xs), OUT(ys), const real alpha, const uint n) {
    const uint i = get_global_id(0);
    if (i < n) ys[ys_start + i] += alpha * xs[xs_start + i];
}

// ys[o, first + i] += xs[o, i] for shape = (length of xs, of ys, first, outer).
__kernel void add_part(IN(xs), OUT(ys), const uint4 shape) {
    const uint i = get_global_id(0), o = get_global_id(1);
    if (i < shape.x && o < shape.w)
        ys[ys_start + o * shape.y + shape.z + i] += xs[xs_start + o * shape.x + i];
}

// acc[i, j] += x[i, j] y[i mod m, j mod n] for shape = (n, columns / n, rows, m).
__kernel void add_tiled_product(OUT(acc), IN(xs), IN(ys), const uint4 shape) {
    const uint j = get_global_id(0), block = get_global_id(1);
    const uint tile_row = block / shape.y % shape.w, at = block * shape.x + j;
    if (j < shape.x && block < shape.y * shape.z)
        acc[acc_start + at] += xs[xs_start + at] * ys[ys_start + tile_row * shape.x + j];
}
