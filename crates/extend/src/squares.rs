//! Squares of a factor's entries, added up over columns: what every diagonal is made of.
//!
//! With the outer-product structure `V[v, n] = Σ_t s ⊗ z` and one position, the square factors: `(Σ_v ± s[v, n]²) ⊗ z[n]²`. With more
//! positions the sum over t comes before the square, so V is expanded, some out-features at a time.

use vivit_autodiff::{Batch, Outer, Share};
use vivit_tensor::{Backend, Tensor, Unary};

/// Numbers of V that are expanded at a time.
const BLOCK: usize = 1 << 22;

/// `Σ_v ± V[v, n, d]²`, summed over samples `[D]`, or kept `[N_S, D]`; the entries in the parameter's order.
pub(crate) fn squares<B: Backend>(share: &Share<'_, '_, B>, batch: Batch) -> Tensor<B> {
    match share.outer() {
        Some(outer) => of_outer(&outer, share.signs(), batch),
        None => of_expanded(&share.jac_t(Batch::Keep), share.signs(), batch),
    }
}

/// The same over several shares, the Hessian's for instance.
pub(crate) fn total<B: Backend>(shares: &[Share<'_, '_, B>], batch: Batch) -> Tensor<B> {
    let mut parts = shares.iter().map(|share| squares(share, batch));
    let mut total = parts.next().expect("a probe has its own share");
    parts.for_each(|part| total.axpy(1.0, &part));
    total
}

/// `x: [V, N, *]`
fn of_expanded<B: Backend>(x: &Tensor<B>, signs: Option<&Tensor<B>>, batch: Batch) -> Tensor<B> {
    let (v, n) = (x.shape()[0], x.shape()[1]);
    let mut squares = x.unary(Unary::Square).reshape([v, n, x.len() / (v * n)]);
    if let Some(signs) = signs {
        squares = squares.mul(&signs.reshape([v, n, 1]));
    }
    match batch {
        Batch::Sum => squares.reshape([v * n, x.len() / (v * n)]).sum(0),
        Batch::Keep => squares.sum(0),
    }
}

fn of_outer<B: Backend>(outer: &Outer<B>, signs: Option<&Tensor<B>>, batch: Batch) -> Tensor<B> {
    let d = outer.dims();
    if d.t == 1 {
        let mut s = outer.s().unary(Unary::Square);
        if let Some(signs) = signs {
            s = s.mul(&signs.reshape([d.v, d.n, 1, 1, 1]));
        }
        let s = s.sum(0);
        let s = s.reshape(s.shape().prefixed(&[1]));
        let product = Outer::new(s, outer.z().unary(Unary::Square), outer.positions()).ordered(outer.order());
        return match batch {
            Batch::Sum => product.sum().reshape([d.g * d.o * d.i]),
            Batch::Keep => product.kept().reshape([d.n, d.g * d.o * d.i]),
        };
    }
    let kept = if batch == Batch::Keep { d.n } else { 1 };
    let blocks = outer.row_blocks(BLOCK).map(|rows| {
        let len = rows.len();
        of_expanded(&outer.expand(rows), signs, batch).reshape([kept, d.g, len, d.i])
    });
    let whole = outer.in_parameter_order(&Tensor::concat(&blocks.collect::<Vec<_>>(), 2));
    if batch == Batch::Keep { whole.reshape([d.n, d.g * d.o * d.i]) } else { whole.reshape([d.g * d.o * d.i]) }
}
