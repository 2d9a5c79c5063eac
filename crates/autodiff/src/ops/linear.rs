//! `y[n, t, o] = Σ_i x[n, t, i] w[o, i] + b[o]`, with any number of extra axes t.

use vivit_tensor::{Gemm, Tensor};

use crate::{Batch, Effort, Io, Op, Order, Outer, OuterDims, Positions, Second, Tape, Var};

/// Affine map of the last axis. Arguments: x `[N, *, I]`, w `[O, I]` (or `[O, *]` with I entries
/// per row) and, optionally, b `[O]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear;

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, w) = (args[0], args[1]);
        let [o, i] = rows(w);
        assert!(
            x.shape().last() == Some(&i),
            "linear: input {} does not end in the weight's {i} in-features ({})",
            x.shape(),
            w.shape()
        );
        let mut shape = x.shape().to_vec();
        *shape.last_mut().expect("asserted above") = o;
        let g = Gemm::nt(x.len() / i.max(1), o, i);
        let Some(b) = args.get(2) else { return x.gemm(&g, w, &shape) };
        assert!(**b.shape() == [o], "linear: bias {} for {o} out-features", b.shape());
        let mut y = b.broadcast(&shape);
        x.device().gemm(&g.accumulating(), x.buf(), w.buf(), y.buf_mut());
        y
    }

    /// - x: `M[v, n, t, :] · W`
    /// - w: `Σ_{(n,) t} M[v, n, t, :] ⊗ x[n, t, :]`
    /// - b: `Σ_{(n,) t} M[v, n, t, :]`
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (v, n, [o, i]) = (mat.shape()[0], io.samples(), rows(w));
        let batch = io.batch(batch);
        match wrt {
            0 => mat.gemm(&Gemm::new(mat.len() / o, i, o), w, x.shape().prefixed(&[v])),
            1 => outer(io, mat).contract(batch, w.shape()),
            _ if batch == Batch::Keep => mat.reshape([v, n, mat.len() / (v * n * o), o]).sum(2),
            _ => mat.reshape([v, mat.len() / (v * o), o]).sum(1),
        }
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (k, [o, i]) = (tangent.shape()[0], rows(w));
        let (rows, shape) = (x.len() / i, io.out.shape().prefixed(&[k]));
        match wrt {
            0 => tangent.gemm(&Gemm::nt(k * rows, o, i), w, shape),
            1 => x.gemm(&Gemm::nt(rows, o, i).batch(k, 0, o * i, rows * o), tangent, shape),
            _ => tangent.reshape([k, 1, o]).broadcast([k, rows, o]).reshape(shape),
        }
    }

    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        (wrt == 1).then(|| outer(io, mat))
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        let [o, i] = rows(io.args[1]);
        (wrt == 1).then(|| OuterDims {
            v: 1,
            n: 1,
            g: 1,
            t: io.share(0) / i,
            o,
            i,
            one_hot: false,
            order: Order::OutIn,
        })
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        Effort::of(io.out_share() * if wrt == 2 { 1 } else { rows(io.args[1])[1] })
    }

    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::bilinear(wrt, along)
    }
}

/// Rows of a weight, and entries of a row.
#[track_caller]
fn rows(w: &Tensor) -> [usize; 2] {
    let shape = w.shape();
    assert!(shape.rank() >= 2, "linear: the weight must be [O, I], got {shape}");
    [shape[0], shape.tail().size()]
}

fn outer(io: Io<'_>, mat: &Tensor) -> Outer {
    let (x, w) = (io.args[0], io.args[1]);
    let (v, n, [o, i]) = (mat.shape()[0], io.samples(), rows(w));
    let t = x.len() / (n * i);
    Outer::new(mat.reshape([v, n, 1, t, o]), x.reshape([n, 1, t, i]), [Positions::Outside; 2])
}

impl Tape {
    /// `x · wᵀ + b` along the last axis: x `[N, *, I]`, w `[O, I]`, b `[O]`, to `[N, *, O]`.
    ///
    /// # Panics
    /// If the shapes do not fit, or weight or bias carry a sample axis.
    #[track_caller]
    pub fn linear(&mut self, x: Var, weight: Var, bias: Option<Var>) -> Var {
        let shape = self.value(weight).shape();
        assert!(shape.rank() == 2, "linear: the weight must be [O, I], got {shape}");
        let args: Vec<Var> = [x, weight].into_iter().chain(bias).collect();
        self.expect_unbatched("linear", &args[1..]);
        self.record(Linear, &args)
    }
}
