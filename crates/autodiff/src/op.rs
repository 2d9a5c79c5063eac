//! The derivative protocol of an operation.

use std::fmt::Debug;

use vivit_tensor::{AsAny, Gemm, Shape, Strides, Tensor};

use crate::{Batch, Effort, Io, Outer, OuterDims, Part, ScatterJacobian, Second};

impl dyn Op {
    /// The operation as one of type `O`, if it is one.
    pub fn downcast_ref<O: Op>(&self) -> Option<&O> {
        self.as_any().downcast_ref()
    }
}

/// An operation on the tape: its value and its derivatives.
///
/// Index convention: axis 0 of a *batched* argument or result is the sample axis N; parameters have
/// none. A matrix that travels carries its columns V (backwards) or K (forwards) in front. Only
/// `forward` and `jac_t` are required; with them an operation takes part in gradients, per-sample
/// gradients and everything built from the GGN.
///
/// Shapes are the caller's duty: an operation panics, naming itself and the shapes, when they do
/// not fit.
///
/// ```
/// # use vivit_autodiff::{Batch, Io, Op, check::check_derivatives};
/// # use vivit_tensor::{Device, Tensor};
/// #[derive(Debug)]
/// struct Square;
/// impl Op for Square {
///     fn name(&self) -> &'static str { "square" }
///     fn forward(&self, args: &[&Tensor]) -> Tensor { args[0].mul(args[0]) }
///     fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
///         mat.mul(&io.args[0].scale(2.0))
///     }
/// }
/// let x = Tensor::from_vec(&Device::cpu_f64(), [2, 2], vec![1.0, -2.0, 0.5, 3.0])?;
/// assert!(check_derivatives(&Square, &[x], &[true], 0)?.iter().all(|check| check.passed()));
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
pub trait Op: AsAny + Debug + Send + Sync {
    // Required.

    /// The name that errors show.
    fn name(&self) -> &'static str;

    /// The result of the arguments.
    fn forward(&self, args: &[&Tensor]) -> Tensor;

    /// `Jᵀ·M` in argument `wrt`: `mat: [V, *out]`.
    ///
    /// - A batched argument: `[V, *arg]`; `batch` does not matter.
    /// - An unbatched argument of a batched result: `[V, *arg]` summed over samples, or `[V, N,
    ///   *arg]`, as `batch` says.
    /// - An unbatched result: `[V, *arg]`; `batch` does not matter.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor;

    // Structure: what the operation does to samples, and what its weight's Jacobian looks like.

    /// Returns `true` if a sample's result depends on other samples (batch norm in training mode).
    /// Such an operation has no derivatives per sample; asking for them is an error.
    fn couples_samples(&self) -> bool {
        false
    }

    /// Returns `true` if the result is piecewise constant in argument `wrt`: truth values, masks,
    /// indices, rounding. Its derivatives there are zero, and sweeps send nothing that way: what
    /// reaches the output in no other way counts as a constant.
    fn is_piecewise_constant(&self, wrt: usize) -> bool {
        let _ = wrt;
        false
    }

    /// The structure `V[v, n] = Σ_t s[v, n, t] ⊗ z[n, t]` of the product in argument `wrt`, where
    /// it has one: s is made of `mat`, z of the other arguments. Per-sample quantities, Kronecker
    /// factors and Gram matrices are computed from s and z then, without V.
    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        let _ = (io, wrt, mat);
        None
    }

    /// The lengths of [`outer`](Op::outer)'s axes for one column and one sample, from shapes alone:
    /// `Some` exactly where `outer` is.
    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        let _ = (io, wrt);
        None
    }

    // Second order: what the Hessian needs, and nothing else does.

    /// Second derivatives in the pair of arguments (wrt, along); symmetric in the pair.
    ///
    /// The default says that they are not given: the Hessian of a graph with this operation is an
    /// error that names it.
    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        let _ = (wrt, along);
        Second::Missing
    }

    // Speed: the defaults are right; override them where the operation can do better.

    /// `J·t` in argument `wrt`: `tangent: [K, *arg]` to `[K, *out]`.
    ///
    /// The default forms J with unit columns through [`jac_t`](Op::jac_t), as many as a sample has
    /// results. Override it in every operation that products with curvature matrices pass through.
    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        jac_by_columns(io, wrt, tangent, self.couples_samples(), |mat, batch| {
            self.jac_t(io, wrt, mat, batch)
        })
    }

    /// What [`jac_t`](Op::jac_t) per sample, or [`outer`](Op::outer) where there is one, takes: for
    /// plans, before any work.
    ///
    /// The default: a multiply-add for every number of the larger side, and memory for three copies
    /// of it.
    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        let side = io.share(wrt).max(io.out_share());
        Effort { multiply_adds: side, per_column: 3 * side, per_sample: 0 }
    }

    /// Where in its only argument the result is, if it is a run of entries of it: what travels back
    /// is then added in place, in the time that the result takes. (So all steps of a sequence
    /// together take the time of one sequence.)
    fn part_of_argument(&self, io: Io<'_>) -> Option<Part> {
        let _ = io;
        None
    }

    /// Where in the result argument `wrt` is, if the result holds it as a run of entries: what
    /// travels forwards is then added in place.
    fn part_of_result(&self, io: Io<'_>, wrt: usize) -> Option<Part> {
        let _ = (io, wrt);
        None
    }

    /// The Jacobian's transpose as a [`ScatterJacobian`], if every entry of the result is a copy of
    /// one entry of the only argument (max pooling): the sweep then carries a factor's columns
    /// through this operation and those before it in one pass.
    ///
    /// Its [`apply`](ScatterJacobian::apply) must be [`jac_t`](Op::jac_t).
    fn as_scatter(&self, io: Io<'_>) -> Option<ScatterJacobian> {
        let _ = io;
        None
    }

    /// Composes a scatter Jacobian that ends at this operation's result with this operation's
    /// transposed Jacobian, so that it ends at the only argument: by a weight per place for an
    /// entry-by-entry operation ([`then_scale`](ScatterJacobian::then_scale)), by cropping for zero
    /// padding ([`then_crop`](ScatterJacobian::then_crop)). `None` if the composition is no scatter
    /// Jacobian; the sweep then applies what it has.
    fn compose_scatter(&self, io: Io<'_>, scatter: &ScatterJacobian) -> Option<ScatterJacobian> {
        let _ = (io, scatter);
        None
    }
}

/// `J·t` from `Jᵀ` of unit columns.
pub(crate) fn jac_by_columns(
    io: Io<'_>,
    wrt: usize,
    tangent: &Tensor,
    coupled: bool,
    jac_t: impl Fn(&Tensor, Batch) -> Tensor,
) -> Tensor {
    let (arg, out, k) = (io.args[wrt], io.out, tangent.shape()[0]);
    // Without a sample axis, or with samples coupled, the whole result is one sample.
    let apart = io.out_batched() && !coupled;
    let n = if apart { io.samples() } else { 1 };
    let (c, per_sample) = (out.len() / n.max(1), apart && io.batched[wrt]);
    let p = if per_sample { arg.len() / n } else { arg.len() };
    let units = Tensor::eye(out.device(), c)
        .reshape([c, 1, c])
        .broadcast([c, n, c])
        .reshape(out.shape().prefixed(&[c]));
    let columns = jac_t(&units, if apart { Batch::Keep } else { Batch::Sum });
    let g = Gemm {
        a: Strides::rows(if per_sample { n * p } else { p }),
        b: Strides::transposed(n * p),
        c: Strides::rows(n * c),
        ..Gemm::new(k, c, p)
    };
    let g = g.batch(n, if per_sample { p } else { 0 }, p, c);
    tangent.gemm(&g, &columns, out.shape().prefixed(&[k]))
}

/// [`Op::jac_t`] of an argument in which the result is piecewise constant.
pub(crate) fn zero_jac_t(io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
    let (v, keep) = (mat.shape()[0], io.batch(batch) == Batch::Keep && !io.batched[wrt]);
    let front: &[usize] = if keep { &[v, io.samples()] } else { &[v] };
    Tensor::zeros(mat.device(), io.args[wrt].shape().prefixed(front))
}

/// [`Op::jac`] of an argument in which the result is piecewise constant.
pub(crate) fn zero_jac(io: Io<'_>, tangent: &Tensor) -> Tensor {
    Tensor::zeros(tangent.device(), io.out.shape().prefixed(&tangent.shape()[..1]))
}

/// Sums `mat: [V, *out]` down to `[V, *arg]` (or `[V, N, *arg]` with `keep`) where `arg` was
/// broadcast to `out`.
pub(crate) fn sum_to(mat: &Tensor, arg: &Shape, keep: bool) -> Tensor {
    let kept = 1 + usize::from(keep);
    let front = Shape::new(&mat.shape()[..kept]);
    let mut sum = mat.clone();
    while sum.shape().rank() > kept + arg.rank() {
        sum = sum.sum(kept);
    }
    for axis in 0..arg.rank() {
        let at = kept + axis;
        if arg[axis] == 1 && sum.shape()[at] != 1 {
            let mut shape = sum.shape().to_vec();
            shape[at] = 1;
            sum = sum.sum(at).reshape(&shape);
        }
    }
    sum.reshape(arg.prefixed(&front))
}
