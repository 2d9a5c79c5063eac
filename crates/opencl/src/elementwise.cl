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
real clamped(const real x, const real low, const real high) {
    return x < low ? low : x > high ? high : x;
}
// x^p, for the usual exponents without a logarithm; and c x^p, 0 for c = 0.
real power(const real x, const real p) {
    return p == ONE ? x : p == (real)2 ? x * x : p == (real)3 ? x * x * x : p == -ONE ? ONE / x
                                                                                  : pow(x, p);
}
real monomial(const real c, const real x, const real p) {
    return c == ZERO ? ZERO : c * power(x, p);
}
// t = tanh(log(1 + e^x)), and 1 - t^2, without cancellation.
real tanh_softplus(const real x) {
    const real e = exp(-fabs(x)), two = (real)2;
    return x > ZERO ? (ONE + two * e) / (ONE + two * e * (ONE + e))
                    : e * (two + e) / (two + e * (two + e));
}
real tanh_softplus_slope(const real x) {
    const real e = exp(-fabs(x)), two = (real)2;
    const real root = x > ZERO ? two * e * (ONE + e) / (ONE + two * e * (ONE + e))
                               : two * (ONE + e) / (two + e * (two + e));
    return root * root;
}
real squared(const real x) { return x * x; }
real cubed(const real x) { return x * x * x; }
real arc_slope(const real x) { return ONE / sqrt((ONE - x) * (ONE + x)); }
real acosh_slope(const real x) { return ONE / (sqrt(x - ONE) * sqrt(x + ONE)); }
real bell(const real x) { return (real)1.1283791670955126 * exp(-x * x); }
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
ROW(mish, x * tanh_softplus(x), tanh_softplus(x) + x * sigmoid(x) * tanh_softplus_slope(x),
    sigmoid(x) * tanh_softplus_slope(x) *
        ((real)2 + x * (sigmoid(-x) - (real)2 * tanh_softplus(x) * sigmoid(x))))
ROW(softsign, x / (ONE + fabs(x)), squared(ONE / (ONE + fabs(x))),
    (x > ZERO ? (real)-2 : x < ZERO ? (real)2 : ZERO) * cubed(ONE / (ONE + fabs(x))))
ROW(celu, x > ZERO ? x : a * expm1(x / a), x > ZERO ? ONE : y / a + ONE,
    x > ZERO ? ZERO : (y / a + ONE) / a)
ROW(thresholded_relu, x <= a ? ZERO : x, x > a ? ONE : ZERO, ZERO)
ROW(hard_tanh, clamped(x, a, b), x > a && x < b ? ONE : ZERO, ZERO)
ROW(hard_sigmoid, clamped(a * x + b, ZERO, ONE), y > ZERO && y < ONE ? a : ZERO, ZERO)
ROW(hard_swish, x * clamped(x / (real)6 + (real)0.5, ZERO, ONE),
    x <= (real)-3 ? ZERO : x < (real)3 ? x / (real)3 + (real)0.5 : ONE,
    fabs(x) < (real)3 ? ONE / (real)3 : ZERO)
ROW(abs, fabs(x), x > ZERO ? ONE : x < ZERO ? -ONE : ZERO, ZERO)
ROW(sign, x > ZERO ? ONE : x < ZERO ? -ONE : x, ZERO, ZERO)
ROW(floor, floor(x), ZERO, ZERO)
ROW(ceil, ceil(x), ZERO, ZERO)
ROW(round, rint(x), ZERO, ZERO)
ROW(trunc, trunc(x), ZERO, ZERO)
ROW(not, x == ZERO ? ONE : ZERO, ZERO, ZERO)
ROW(exp, exp(x), y, y)
ROW(expm1, expm1(x), exp(x), exp(x))
ROW(log1p, log1p(x), ONE / (ONE + x), -ONE / squared(ONE + x))
ROW(ln, log(x), ONE / x, -ONE / (x * x))
ROW(sqrt, sqrt(x), ONE / (y + y), -ONE / ((real)2 * (y + y) * x))
ROW(rsqrt, ONE / sqrt(x), -(real)0.5 * cubed(y), (real)0.75 * cubed(y) * squared(y))
ROW(powf, power(x, a), monomial(a, x, a - ONE), monomial(a * (a - ONE), x, a - (real)2))
ROW(square, x * x, x + x, (real)2)
ROW(recip, ONE / x, -y * y, (y + y) * y * y)
ROW(sin, sin(x), cos(x), -y)
ROW(cos, cos(x), -sin(x), -y)
ROW(tan, tan(x), ONE + y * y, (y + y) * (ONE + y * y))
ROW(asin, asin(x), arc_slope(x), x * cubed(arc_slope(x)))
ROW(acos, acos(x), -arc_slope(x), -x * cubed(arc_slope(x)))
ROW(atan, atan(x), ONE / (ONE + x * x), -(x + x) * squared(ONE / (ONE + x * x)))
ROW(sinh, sinh(x), cosh(x), y)
ROW(cosh, cosh(x), sinh(x), y)
ROW(asinh, asinh(x), ONE / hypot(x, ONE), -x * cubed(ONE / hypot(x, ONE)))
ROW(acosh, acosh(x), acosh_slope(x), -x * cubed(acosh_slope(x)))
ROW(atanh, atanh(x), ONE / ((ONE - x) * (ONE + x)),
    (x + x) * squared(ONE / ((ONE - x) * (ONE + x))))
ROW(erf, erf(x), bell(x), -(x + x) * bell(x))
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

// The remainder with the sign of b, of that with the sign of a.
real floored(const real r, const real b) {
    return r != ZERO && (r < ZERO) != (b < ZERO) ? r + b : r;
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
PAIR(max, LARGER(a, b))
PAIR(min, SMALLER(a, b))
PAIR(pow, pow(a, b))
PAIR(fmod, fmod(a, b))
PAIR(remainder, floored(fmod(a, b), b))
PAIR(p_relu, a > ZERO ? a : a * b)
PAIR(less, a < b ? ONE : ZERO)
PAIR(less_equal, a <= b ? ONE : ZERO)
PAIR(equal, a == b ? ONE : ZERO)

// a where the mask is not 0, b elsewhere, over axes [outer..., inner]; shape = (inner, rows, rank),
// step = the inner strides.
#define CHOICE_OVER(NAME, LEN, OVER)                                                               \
    __kernel void NAME(IN(masks), IN(as), IN(bs), OUT(out), const uint4 shape, const uint4 step,   \
                       const uint##LEN lens, const uint##LEN mask_steps,                           \
                       const uint##LEN a_steps, const uint##LEN b_steps) {                         \
        const uint i = get_global_id(0), row = get_global_id(1), rank = shape.z;                   \
        uint at = row, p = 0, q = 0, r = 0;                                                        \
        OVER(STEP3)                                                                                \
        if (i >= shape.x || row >= shape.y) return;                                                \
        out[out_start + row * shape.x + i] = masks[masks_start + p + i * step.x] == ZERO           \
                                                 ? bs[bs_start + r + i * step.z]                   \
                                                 : as[as_start + q + i * step.y];                  \
    }

#define STEP3(S)                                                                                   \
    { AXIS(at, lens.S, k); p += k * mask_steps.S; q += k * a_steps.S; r += k * b_steps.S; }

CHOICE_OVER(choose, 8, NARROW)
CHOICE_OVER(choose_wide, 16, WIDE)
__kernel void choose_flat(IN(masks), IN(as), IN(bs), OUT(out), const uint n) {
    const uint i = get_global_id(0);
    if (i >= n) return;
    out[out_start + i] = masks[masks_start + i] == ZERO ? bs[bs_start + i] : as[as_start + i];
}

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
