//! Checks of an operation's derivatives, for whoever writes one.

use std::fmt;

use vivit_tensor::{Rng, Shape, Tensor};

use crate::chain::{pull_back, residual};
use crate::op::jac_by_columns;
use crate::{Batch, Error, Io, Op, Part, Second};

/// One comparison: what was compared, in which argument, how far apart, and how far apart is fine.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was compared.
    pub what: &'static str,
    /// The argument.
    pub wrt: usize,
    /// Largest difference over the largest magnitude of the two sides.
    pub error: f64,
    /// The bound on it.
    pub tolerance: f64,
}

impl Check {
    /// Whether the two sides agree.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "ok" } else { "WRONG" };
        write!(
            f,
            "argument {}: {}: error {:.1e}, tolerance {:.1e}: {verdict}",
            self.wrt, self.what, self.error, self.tolerance
        )
    }
}

/// Largest difference of two arrays over their largest magnitude (0 where both vanish, ∞ where the
/// shapes differ).
pub fn relative_error(a: &Tensor, b: &Tensor) -> Result<f64, Error> {
    if a.shape() != b.shape() {
        return Ok(f64::INFINITY);
    }
    let (a, b) = (a.to_vec()?, b.to_vec()?);
    let (mut difference, mut scale) = (0.0f64, 0.0f64);
    for (a, b) in a.into_iter().zip(b) {
        difference = if (a - b).is_nan() { f64::INFINITY } else { difference.max((a - b).abs()) };
        scale = scale.max(a.abs()).max(b.abs());
    }
    Ok(if difference == 0.0 { 0.0 } else { difference / scale })
}

/// Checks all derivatives of an operation at the given arguments in random directions, and returns
/// every comparison made:
///
/// - `J·t` against central finite differences, and against J formed from `jac_t`,
/// - `⟨u, J t⟩ = ⟨Jᵀu, t⟩`,
/// - linearity of `Jᵀ·M` in M, column by column,
/// - the product kept per sample, summed up, against the summed one,
/// - the runs of entries that the operation takes or makes, where it says so, against both,
/// - the outer-product structure, expanded, against `jac_t`,
/// - second derivatives, where given, against central finite differences of `jac_t`.
///
/// Choose arguments away from kinks and steps: what an index or a mask is made of can't be moved a
/// little, and comparisons with finite differences in such an argument say nothing. Use `f64`: the
/// bound on finite differences is ε^(2/3) times a constant.
///
/// # Errors
/// If the device failed.
///
/// # Panics
/// Where the operation does, and if its results do not have the shapes that [`Op`] asks for.
pub fn check_derivatives(
    op: &dyn Op,
    args: &[Tensor],
    batched: &[bool],
    seed: u64,
) -> Result<Vec<Check>, Error> {
    let mut rng = Rng::new(seed);
    let refs: Vec<&Tensor> = args.iter().collect();
    let out = op.forward(&refs);
    let io = Io { args: &refs, out: &out, batched };
    let device = out.device().clone();
    let mut random = |shape: Shape| Tensor::from_vec(&device, shape, rng.normal(shape.size()));
    let epsilon = out.dtype().epsilon();
    // A result may be a small difference of large terms, which its own scale does not show: a few
    // hundred times as much is still rounding.
    let rounding = |len: usize| 512.0 * epsilon * (len.max(4) as f64).sqrt();
    let mut checks = Vec::new();
    for (wrt, arg) in args.iter().enumerate() {
        let mut check = |what, a: &Tensor, b: &Tensor, tolerance| {
            checks.push(Check { what, wrt, error: relative_error(a, b)?, tolerance });
            Ok::<(), Error>(())
        };
        let tangent = random(arg.shape().prefixed(&[2]))?;
        let mat = random(out.shape().prefixed(&[3]))?;
        let pushed = op.jac(io, wrt, &tangent);

        let step = epsilon.cbrt();
        let moved = |sign: f64| {
            let mut there = arg.clone();
            there.axpy(sign * step, &tangent.slice(0, 1).reshape(*arg.shape()));
            let mut refs = refs.clone();
            refs[wrt] = &there;
            op.forward(&refs)
        };
        let difference = moved(1.0).sub(&moved(-1.0)).scale(0.5 / step);
        check(
            "J·t and finite differences",
            &pushed.slice(0, 1).reshape(*out.shape()),
            &difference,
            1e3 * step * step,
        )?;
        let columns = jac_by_columns(io, wrt, &tangent, op.couples_samples(), |mat, batch| {
            op.jac_t(io, wrt, mat, batch)
        });
        check("J·t and J formed from Jᵀ", &pushed, &columns, rounding(arg.len()))?;

        let pulled = op.jac_t(io, wrt, &mat, Batch::Sum);
        let dot = |a: &Tensor, b: &Tensor| a.mul(b).reshape([a.len()]).sum(0);
        let (u, t) = (mat.slice(0, 1), tangent.slice(0, 1));
        let (left, right) = (dot(&u, &pushed.slice(0, 1)), dot(&pulled.slice(0, 1), &t));
        // Both sides may cancel: compare them on the scale of what was summed.
        let norm = |a: &Tensor| Ok::<f64, Error>(dot(a, a).to_vec()?[0].sqrt());
        let scale = (norm(&u)? * norm(&pushed.slice(0, 1))?).max(f64::MIN_POSITIVE);
        let error = (left.to_vec()?[0] - right.to_vec()?[0]).abs() / scale;
        checks.push(Check {
            what: "⟨u, J t⟩ and ⟨Jᵀu, t⟩",
            wrt,
            error,
            tolerance: rounding(arg.len() + out.len()),
        });

        let mut check = |what, a: &Tensor, b: &Tensor, tolerance| {
            checks.push(Check { what, wrt, error: relative_error(a, b)?, tolerance });
            Ok::<(), Error>(())
        };
        let mut combined = mat.slice(0, 1);
        combined.axpy(-2.0, &mat.slice(1, 2));
        let mut expected = pulled.slice(0, 1);
        expected.axpy(-2.0, &pulled.slice(1, 2));
        check(
            "Jᵀ(M₀ − 2M₁) and JᵀM₀ − 2JᵀM₁",
            &op.jac_t(io, wrt, &combined, Batch::Sum),
            &expected,
            rounding(out.len()),
        )?;

        if let Some(Part { axis, first }) = op.part_of_argument(io) {
            let mut placed = Tensor::zeros(&device, *pulled.shape());
            placed.add_part(1 + axis, first, &mat);
            check("the part of the argument and Jᵀ·M", &placed, &pulled, 0.0)?;
        }
        if let Some(Part { axis, first }) = op.part_of_result(io, wrt) {
            let mut placed = Tensor::zeros(&device, *pushed.shape());
            placed.add_part(1 + axis, first, &tangent);
            check("the part of the result and J·t", &placed, &pushed, 0.0)?;
        }
        if !batched[wrt] && io.out_batched() {
            if !op.couples_samples() {
                let kept = op.jac_t(io, wrt, &mat, Batch::Keep);
                check(
                    "Jᵀ·M kept, summed up, and summed",
                    &kept.sum(1),
                    &pulled,
                    rounding(out.len()),
                )?;
                if let Some(outer) = op.outer(io, wrt, &mat) {
                    let expanded = outer.per_sample().reshape(*kept.shape());
                    check("outer products and Jᵀ·M kept", &expanded, &kept, rounding(out.len()))?;
                }
            }
            if let Some(outer) = op.outer(io, wrt, &mat) {
                check(
                    "outer products and Jᵀ·M summed",
                    &outer.summed().reshape(*pulled.shape()),
                    &pulled,
                    rounding(out.len()),
                )?;
            }
        }
        for along in (0..args.len()).filter(|&along| !op.is_piecewise_constant(along)) {
            let direction = random(args[along].shape().prefixed(&[2]))?;
            checks.extend(check_second(op, io, (wrt, along), &mat.slice(0, 1), &direction)?);
        }
    }
    Ok(checks)
}

/// `R t` against the change of `Jᵀ·m` along t; nothing if no second derivatives are given.
fn check_second(
    op: &dyn Op,
    io: Io<'_>,
    (wrt, along): (usize, usize),
    mat: &Tensor,
    tangent: &Tensor,
) -> Result<Vec<Check>, Error> {
    if matches!(op.second(wrt, along), Second::Missing) {
        return Ok(Vec::new());
    }
    // A factor has a sample axis, even where the result has none.
    let n = if io.out_batched() { io.samples() } else { 1 };
    let mat =
        if io.out_batched() { mat.clone() } else { mat.reshape(io.out.shape().prefixed(&[1, n])) };
    let step = io.out.dtype().epsilon().cbrt();
    let mut checks = Vec::new();
    for apart in [false, true] {
        if apart && op.couples_samples() {
            continue;
        }
        let pulled = |sign: f64| {
            let mut there = io.args[along].clone();
            there.axpy(sign * step, &tangent.slice(1, 2).reshape(*there.shape()));
            let mut args = io.args.to_vec();
            args[along] = &there;
            let out = op.forward(&args);
            pull_back(op, Io { args: &args, out: &out, ..io }, wrt, &mat, apart)
        };
        let here = pulled(0.0);
        let difference = pulled(1.0).sub(&pulled(-1.0)).scale(0.5 / step);
        let given = match residual(op, io, (wrt, along), tangent, &mat, apart) {
            Some(given) => given.slice(1, 2),
            None => Tensor::zeros(here.device(), *here.shape()),
        };
        // Where the derivative vanishes, the scale is that of what does not change. NaN and wrong
        // shapes are no number here, and fail.
        let magnitude = |x: &Tensor| {
            Ok::<f64, Error>(x.to_vec()?.iter().fold(0.0f64, |max, x| max.max(x.abs())))
        };
        let own = magnitude(&given)?.max(magnitude(&difference)?);
        let error = relative_error(&given, &difference)?;
        let error = if error == 0.0 { 0.0 } else { error * own / own.max(magnitude(&here)?) };
        let what = if apart {
            "second derivatives, per sample, and finite differences of Jᵀ·m"
        } else {
            "second derivatives and finite differences of Jᵀ·m"
        };
        checks.push(Check { what, wrt, error, tolerance: 1e3 * step * step });
    }
    Ok(checks)
}
