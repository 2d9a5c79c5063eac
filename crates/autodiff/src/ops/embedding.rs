//! Rows of a table: `y[n, t, :] = w[x[n, t], :]`.

use vivit_tensor::{Gemm, Tensor};

use crate::{
    Batch, Effort, Error, FiniteCheck, Io, Op, Order, Outer, OuterDims, Positions, Second, Tape,
    Var,
};

/// Embedding. Arguments: x `[N, *]`, whole numbers below the vocabulary's size, and w `[vocabulary,
/// F]`; result `[N, *, F]`.
///
/// The Jacobian in w is `Σ_t onehot(x[n, t]) ⊗ s[n, t]`. Nothing is differentiated in x.
#[derive(Clone, Copy, Debug)]
pub struct Embedding;

impl Embedding {
    fn one_hot(io: Io<'_>) -> Tensor {
        let (x, rows) = (io.args[0], io.args[1].shape()[0]);
        Tensor::from_buf(x.device(), [x.len(), rows], x.device().one_hot(x.buf(), rows))
    }

    fn outer(io: Io<'_>, mat: &Tensor) -> Outer {
        let (n, v) = (io.samples(), mat.shape()[0]);
        let (rows, width) = (io.args[1].shape()[0], io.args[1].shape()[1]);
        let t = io.args[0].len() / n;
        let z = Self::one_hot(io).reshape([n, 1, t, rows]);
        Outer::new(mat.reshape([v, n, 1, t, width]), z, [Positions::Outside; 2])
            .ordered(Order::InOut)
    }
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, w) = (args[0], args[1]);
        let [rows, width] = **w.shape() else {
            panic!("embedding: the table must be [vocabulary, F], got {}", w.shape())
        };
        let shape = [&x.shape()[..], &[width]].concat();
        Tensor::from_buf(
            x.device(),
            &shape,
            x.device().gather_rows(w.buf(), x.buf(), (rows, width)),
        )
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
            return Tensor::zeros(mat.device(), shape.prefixed(&[v]));
        }
        Self::outer(io, mat).contract(io.batch(batch), shape)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let k = tangent.shape()[0];
        let shape = io.out.shape().prefixed(&[k]);
        if wrt == 0 {
            return Tensor::zeros(tangent.device(), shape);
        }
        let (rows, width, m) = (io.args[1].shape()[0], io.args[1].shape()[1], io.args[0].len());
        let g = Gemm::new(m, width, rows).batch(k, 0, rows * width, m * width);
        Self::one_hot(io).gemm(&g, tangent, shape)
    }

    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        (wrt == 1).then(|| Self::outer(io, mat))
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        let (i, o) = (io.args[1].shape()[0], io.args[1].shape()[1]);
        (wrt == 1).then(|| OuterDims { v: 1, n: 1, g: 1, t: io.share(0), o, i })
    }

    /// The ids are held as one-hot rows.
    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        let rows = io.args[1].shape()[0];
        Effort { per_sample: io.share(0) * rows, ..Effort::of(io.out_share() * rows) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Rows of a table: x `[N, *]` of whole numbers, w `[vocabulary, F]`, to `[N, *, F]`.
    ///
    /// # Panics
    /// If the host knows that a number of x is no row of w (on a device that is an error of the
    /// first sweep), or the table carries a sample axis.
    #[track_caller]
    pub fn embedding(&mut self, x: Var, table: Var) -> Var {
        self.expect_unbatched("embedding", &[table]);
        let (ids, rows) = (self.value(x).clone(), self.value(table).shape()[0]);
        // Where this fails the device has, and says so later.
        if let Ok(row) = self.device().row_or_nan(ids.buf(), rows) {
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
