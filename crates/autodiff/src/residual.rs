//! The Hessian's residuals as signed factors: an operation's `R_ab = Σ_o m_o ∂²y_o/∂x_a∂x_b` as
//! `Σ_j ± u_j u_jᵀ`.
//!
//! The columns `u_j` start at the operation's arguments and travel on like any other factor; where
//! they reach a parameter as `V_j`, the Hessian's block has gained `Σ_j ± V_j V_jᵀ`. (BackPACK's
//! `DiagHessian` does so for activations; this is for every operation.)
//!
//! - Entry by entry, `R = diag r`: one column per entry, `√|r_i| e_i`, with the sign of `r_i`.
//! - A dense `R_aa`: `R = ((R + c)² − (R − c)²)/4c` with `c = max |R|` keeps the squares on R's
//!   scale, twice as many columns.
//! - A mixed pair, `a ≠ b`: `e_i b_iᵀ + b_i e_iᵀ = ½ (α e_i + b_i/α)(…)ᵀ − ½ (α e_i − b_i/α)(…)ᵀ`
//!   with `b_i = R_ba e_i`, for the entries i of the smaller one of the two. Such a pair matters
//!   only if both depend on one of the wanted parameters.

use vivit_tensor::{Binary, Device, Reduce, Tensor, Unary};

use crate::chain::residual;
use crate::{Io, Op, Second};

/// Signed columns that start at an operation's arguments.
pub(crate) struct Signed {
    /// ±1 per column and sample, `[V, N]`.
    pub signs: Tensor,
    /// `[V, N, *arg]` at some of the arguments.
    pub at: Vec<(usize, Tensor)>,
}

/// The pairs of an operation's arguments whose residual is wanted: `(a, a)` for all on the path,
/// `(a, b)`, `a < b`, for linked ones.
pub(crate) fn pairs(
    on_path: &[usize],
    linked: impl Fn(usize, usize) -> bool,
) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (i, &a) in on_path.iter().enumerate() {
        pairs.push((a, a));
        pairs.extend(on_path[i + 1..].iter().filter(|&&b| linked(a, b)).map(|&b| (a, b)));
    }
    pairs
}

/// The residual of one pair for the gradient `mat: [1, N, *out]`; nothing if it vanishes.
pub(crate) fn signed(
    op: &dyn Op,
    io: Io<'_>,
    (a, b): (usize, usize),
    mat: &Tensor,
) -> Option<Signed> {
    let n = mat.shape()[1];
    match op.second(a, b) {
        Second::Missing | Second::Zero => None,
        Second::Entrywise(f) => {
            // Without a sample axis f″ repeats for every sample.
            let bend = mat.mul(&f(io));
            let len = bend.len() / n;
            let bend = bend.reshape([n, len]);
            let roots = bend.unary(Unary::Abs).unary(Unary::Sqrt).reshape([1, n, len]);
            let columns = roots.mul(&Tensor::eye(mat.device(), len).reshape([len, 1, len]));
            let signs = bend.unary(Unary::Sign).permute(&[1, 0]);
            Some(Signed {
                signs,
                at: vec![(a, columns.reshape(argument(io, a).prefixed(&[len, n])))],
            })
        }
        _ if a == b => {
            let (units, len) = units(io, a, n);
            let r = residual(op, io, (a, a), &units, mat, true)?.reshape([len, n, len]);
            let c = largest(&r);
            let eye = c.mul(&Tensor::eye(mat.device(), len).reshape([len, 1, len]));
            let scale = c.unary(Unary::Sqrt).scale(2.0);
            let halves = [r.add(&eye), r.sub(&eye)].map(|x| x.binary(Binary::Div, &scale));
            let columns =
                Tensor::concat(&halves, 0).reshape(argument(io, a).prefixed(&[2 * len, n]));
            Some(Signed { signs: plus_minus(mat.device(), len, n), at: vec![(a, columns)] })
        }
        _ => {
            let (a, b) =
                if argument(io, a).size() <= argument(io, b).size() { (a, b) } else { (b, a) };
            let (tangents, len) = units(io, a, n);
            let other = residual(op, io, (b, a), &tangents, mat, true)?;
            let flat = other.reshape([len, n, other.len() / (len * n)]);
            let alpha = largest(&flat).unary(Unary::Sqrt);
            let half = std::f64::consts::FRAC_1_SQRT_2;
            let own = alpha.mul(&Tensor::eye(mat.device(), len).reshape([len, 1, len]).scale(half));
            let flat = flat.scale(half).binary(Binary::Div, &alpha);
            let own = Tensor::concat(&[own.clone(), own], 0)
                .reshape(argument(io, a).prefixed(&[2 * len, n]));
            let other = Tensor::concat(&[flat.clone(), flat.scale(-1.0)], 0)
                .reshape(argument(io, b).prefixed(&[2 * len, n]));
            Some(Signed { signs: plus_minus(mat.device(), len, n), at: vec![(a, own), (b, other)] })
        }
    }
}

/// The shape of an argument without sample axis.
fn argument(io: Io<'_>, at: usize) -> vivit_tensor::Shape {
    let shape = *io.args[at].shape();
    if io.batched[at] { shape.tail() } else { shape }
}

/// Unit tangents of an argument, and their number.
fn units(io: Io<'_>, at: usize, n: usize) -> (Tensor, usize) {
    let shape = argument(io, at);
    let len = shape.size();
    let eye = Tensor::eye(io.out.device(), len);
    if io.batched[at] {
        (
            eye.reshape([len, 1, len]).broadcast([len, n, len]).reshape(shape.prefixed(&[len, n])),
            len,
        )
    } else {
        (eye.reshape(shape.prefixed(&[len])), len)
    }
}

/// The largest magnitude per sample of `[K, N, L]`, and a little more than zero: `[1, N, 1]`.
fn largest(x: &Tensor) -> Tensor {
    let n = x.shape()[1];
    let tiny = x.dtype().epsilon().powi(3);
    x.unary(Unary::Abs)
        .reduce(Reduce::Max, 2)
        .reduce(Reduce::Max, 0)
        .unary(Unary::Shift(tiny))
        .reshape([1, n, 1])
}

/// `len` rows of 1, then as many of −1, `[2 len, n]`.
fn plus_minus(device: &Device, len: usize, n: usize) -> Tensor {
    Tensor::concat(&[Tensor::full(device, [len, n], 1.0), Tensor::full(device, [len, n], -1.0)], 0)
}
