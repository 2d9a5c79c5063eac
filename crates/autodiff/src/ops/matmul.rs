//! `y[…, i, j] = Σ_k a[…, i, k] b[…, k, j]`, a product per sample and leading index.

use vivit_tensor::{Gemm, Strides, Tensor};

use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// Batched matrix product of `[…, I, K]` and `[…, K, J]` (with `transposed`, `[…, J, K]`), equal
/// leading axes.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// Whether the second factor is stored transposed.
    pub transposed: bool,
}

/// Numbers of a product: leading items, I, J, K.
#[derive(Clone, Copy)]
struct Dims {
    items: usize,
    i: usize,
    j: usize,
    k: usize,
}

impl MatMul {
    fn dims(self, a: &Tensor, b: &Tensor) -> Dims {
        let (a, b) = (a.shape(), b.shape());
        let rank = a.rank();
        assert!(
            rank >= 2 && b.rank() == rank && a[..rank - 2] == b[..rank - 2],
            "matrix product of {a} and {b}: leading axes differ"
        );
        let (k, j) =
            if self.transposed { (b[rank - 1], b[rank - 2]) } else { (b[rank - 2], b[rank - 1]) };
        assert!(a[rank - 1] == k, "matrix product of {a} and {b}: the inner axes differ");
        Dims { items: a[..rank - 2].iter().product(), i: a[rank - 2], j, k }
    }

    /// Layout of the second factor as `[K, J]`.
    fn right(self, d: Dims) -> Strides {
        if self.transposed { Strides::transposed(d.k) } else { Strides::rows(d.j) }
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matrix product"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (a, b) = (args[0], args[1]);
        let d = self.dims(a, b);
        let mut shape = a.shape().to_vec();
        *shape.last_mut().expect("at least two axes") = d.j;
        let g = Gemm { b: self.right(d), ..Gemm::new(d.i, d.j, d.k) };
        a.gemm(&g.batch(d.items, d.i * d.k, d.k * d.j, d.i * d.j), b, &shape)
    }

    /// - a: `M Bᵀ`
    /// - b: `Aᵀ M`, or `Mᵀ A` where it is stored transposed
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let (a, b) = (io.args[0], io.args[1]);
        let (d, v) = (self.dims(a, b), mat.shape()[0]);
        let (sa, sb, sy) = (d.i * d.k, d.k * d.j, d.i * d.j);
        let shape = io.args[wrt].shape().prefixed(&[v]);
        if wrt == 0 {
            let second = self.right(d);
            let g = Gemm {
                b: Strides { row: second.col, col: second.row, ..second },
                ..Gemm::new(d.i, d.k, d.j)
            };
            return mat.gemm(
                &g.batch(v, d.items * sy, 0, d.items * sa).batch(d.items, sy, sb, sa),
                b,
                shape,
            );
        }
        if self.transposed {
            let g = Gemm::tn(d.j, d.k, d.i);
            return mat.gemm(
                &g.batch(v, d.items * sy, 0, d.items * sb).batch(d.items, sy, sa, sb),
                a,
                shape,
            );
        }
        let g = Gemm::tn(d.k, d.j, d.i);
        a.gemm(&g.batch(v, 0, d.items * sy, d.items * sb).batch(d.items, sa, sy, sb), mat, shape)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (a, b) = (io.args[0], io.args[1]);
        let (d, k) = (self.dims(a, b), tangent.shape()[0]);
        let (sa, sb, sy) = (d.i * d.k, d.k * d.j, d.i * d.j);
        let g = Gemm { b: self.right(d), ..Gemm::new(d.i, d.j, d.k) };
        let shape = io.out.shape().prefixed(&[k]);
        if wrt == 0 {
            tangent.gemm(
                &g.batch(k, d.items * sa, 0, d.items * sy).batch(d.items, sa, sb, sy),
                b,
                shape,
            )
        } else {
            a.gemm(
                &g.batch(k, 0, d.items * sb, d.items * sy).batch(d.items, sa, sb, sy),
                tangent,
                shape,
            )
        }
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share() * self.dims(io.args[0], io.args[1]).k)
    }

    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::bilinear(wrt, along)
    }
}

impl Tape {
    #[track_caller]
    fn products(&mut self, a: Var, b: Var, transposed: bool) -> Var {
        assert!(
            self.is_batched(a) == self.is_batched(b),
            "matrix product: both factors or none must carry a sample axis; use `linear` for a \
             weight"
        );
        self.record(MatMul { transposed }, &[a, b])
    }

    /// `a · b` per sample and leading index: `[…, I, K]` and `[…, K, J]` to `[…, I, J]`.
    ///
    /// # Panics
    /// If the shapes do not fit, or only one of them carries a sample axis.
    #[track_caller]
    pub fn matmul(&mut self, a: Var, b: Var) -> Var {
        self.products(a, b, false)
    }

    /// `a · bᵀ` per sample and leading index: `[…, I, K]` and `[…, J, K]` to `[…, I, J]`.
    ///
    /// # Panics
    /// As [`matmul`](Tape::matmul).
    #[track_caller]
    pub fn matmul_transposed(&mut self, a: Var, b: Var) -> Var {
        self.products(a, b, true)
    }
}
