//! Rows of a table: `y[n, t, :] = w[x[n, t], :]`.

use vivit_tensor::Tensor;

use crate::one_hot::OneHot;
use crate::op::{zero_jac, zero_jac_t};
use crate::{
    Batch, Effort, Error, FiniteCheck, Io, Op, Order, Outer, OuterDims, Second, Tape, Var,
};

/// Embedding. Arguments: x `[N, *]`, whole numbers below the vocabulary's size, and w `[vocabulary,
/// F]`; result `[N, *, F]`.
///
/// The Jacobian in w is `Σ_t onehot(x[n, t]) ⊗ s[n, t]`. Nothing is differentiated in x.
#[derive(Clone, Copy, Debug)]
pub struct Embedding;

fn one_hot(x: &Tensor, w: &Tensor, n: usize) -> OneHot {
    OneHot::new(x.reshape([n, x.len() / n.max(1)]), w.shape()[0])
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, w) = (args[0], args[1]);
        let [_, width] = **w.shape() else {
            panic!("embedding: the table must be [vocabulary, F], got {}", w.shape())
        };
        let rows = one_hot(x, w, 1).look_up(&w.reshape(w.shape().prefixed(&[1])));
        rows.reshape([&x.shape()[..], &[width]].concat().as_slice())
    }

    /// Whole numbers do not move.
    fn is_piecewise_constant(&self, wrt: usize) -> bool {
        wrt == 0
    }

    /// - x: zero
    /// - w: `Σ_{(n,) t} onehot(x[n, t]) ⊗ M[v, n, t, :]`
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let v = mat.shape()[0];
        let shape = io.args[wrt].shape();
        if wrt == 0 {
            return zero_jac_t(io, wrt, mat, batch);
        }
        let (n, keep) = (io.samples(), io.batch(batch) == Batch::Keep);
        let product = one_hot(io.args[0], io.args[1], n).scatter(mat, keep);
        product.reshape(if keep { shape.prefixed(&[v, n]) } else { shape.prefixed(&[v]) })
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let shape = io.out.shape().prefixed(&tangent.shape()[..1]);
        if wrt == 0 {
            return zero_jac(io, tangent);
        }
        one_hot(io.args[0], io.args[1], 1).look_up(tangent).reshape(shape)
    }

    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        let ([rows, width], x) = ([io.args[1].shape()[0], io.args[1].shape()[1]], io.args[0]);
        let (n, v) = (io.samples(), mat.shape()[0]);
        let t = x.len() / n.max(1);
        let s = || mat.reshape([v, n, 1, t, width]);
        (wrt == 1).then(|| Outer::rows(s(), x.reshape([n, t]), rows))
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        let (i, o) = (io.args[1].shape()[0], io.args[1].shape()[1]);
        let t = io.share(0);
        (wrt == 1).then_some(OuterDims {
            v: 1,
            n: 1,
            g: 1,
            t,
            o,
            i,
            one_hot: true,
            order: Order::InOut,
        })
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_sample: io.share(0), ..Effort::of(io.out_share()) }
    }

    /// None in the table; of whole numbers the result is piecewise constant.
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Rows of a table: x `[N, *]` of whole numbers, w `[vocabulary, F]`, to `[N, *, F]`.
    ///
    /// A number that is no row of w is an error of the first sweep, which names it.
    ///
    /// # Panics
    /// If the table is no matrix, or carries a sample axis.
    #[track_caller]
    pub fn embedding(&mut self, x: Var, table: Var) -> Var {
        self.expect_unbatched("embedding", &[table]);
        let (ids, rows) = (self.value(x).clone(), self.value(table).shape()[0]);
        // Where this fails the device has, and says so later.
        if let Ok(row) = self.device().row_or_nan(ids.buf(), rows, false) {
            let witness = Tensor::from_buf(self.device(), *ids.shape(), row);
            let shape = *ids.shape();
            let fault = move |at: usize, value: f64| {
                let index = shape.index_of(at);
                Error::NoRow { value, index, rows }
            };
            self.add_check(FiniteCheck::witnessed(witness, &ids, fault));
        }
        self.record(Embedding, &[x, table])
    }
}
