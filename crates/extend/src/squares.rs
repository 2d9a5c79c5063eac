//! Squares of a factor's entries, added up over columns: what every diagonal is made of.
//!
//! With the outer-product structure `V[v, n] = Σ_t s ⊗ z` and one position, the square factors:
//! `(Σ_v ± s[v, n]²) ⊗ z[n]²`; so with positions of a one-hot z, once those of equal rows are
//! added up. With more positions the sum over t comes before the square, so V is
//! expanded, some samples at a time.

use vivit_autodiff::{Batch, Outer, Share};
use vivit_tensor::{Reduce, Tensor, Unary};

/// Numbers of V that are expanded at a time.
pub(crate) const BLOCK: usize = 1 << 22;

/// `Σ_v ± V[v, n, d]²`, summed over samples `[D]`, or kept `[N_S, D]`; the entries in the
/// parameter's order.
pub(crate) fn squares(share: &Share<'_, '_>, batch: Batch) -> Tensor {
    match share.outer() {
        Some(outer) => of_outer(&outer, share.signs(), batch),
        None => of_expanded(&share.jac_t(Batch::Keep), share.signs(), batch),
    }
}

/// The same over several shares, the Hessian's for instance.
pub(crate) fn total(shares: &[Share<'_, '_>], batch: Batch) -> Tensor {
    let mut parts = shares.iter().map(|share| squares(share, batch));
    let mut total = parts.next().expect("a probe has its own share");
    parts.for_each(|part| total.axpy(1.0, &part));
    total
}

/// `x: [V, N, *]`
fn of_expanded(x: &Tensor, signs: Option<&Tensor>, batch: Batch) -> Tensor {
    let (v, n) = (x.shape()[0], x.shape()[1]);
    let d = x.len() / (v * n);
    if let Some(signs) = signs {
        let squares = x.unary(Unary::Square).reshape([v, n, d]).mul(&signs.reshape([v, n, 1]));
        return if batch == Batch::Sum {
            squares.reshape([v * n, d]).sum(0)
        } else {
            squares.sum(0)
        };
    }
    match batch {
        Batch::Sum => x.reshape([v * n, d]).reduce(Reduce::SumSquares, 0),
        Batch::Keep => x.reshape([v, n, d]).reduce(Reduce::SumSquares, 0),
    }
}

fn of_outer(outer: &Outer, signs: Option<&Tensor>, batch: Batch) -> Tensor {
    let distinct = outer.distinct();
    let outer = distinct.as_ref().unwrap_or(outer);
    let d = outer.dims();
    if d.t == 1 || d.one_hot {
        let mut s = outer.s().unary(Unary::Square);
        if let Some(signs) = signs {
            s = s.mul(&signs.reshape([d.v, d.n, 1, 1, 1]));
        }
        let s = s.sum(0);
        let s = s.reshape(s.shape().prefixed(&[1]));
        let product = outer.with_squared_input(s);
        return match batch {
            Batch::Sum => product.summed().reshape([d.g * d.o * d.i]),
            Batch::Keep => product.per_sample().reshape([d.n, d.g * d.o * d.i]),
        };
    }
    let all = 0..d.o;
    let blocks = outer.sample_blocks(BLOCK).map(|samples| {
        let signs = signs.map(|signs| {
            signs.pad(&[(0, 0), (-(samples.start as isize), -((d.n - samples.end) as isize))])
        });
        of_expanded(&outer.expand_part(samples, all.clone()), signs.as_ref(), batch)
    });
    if batch == Batch::Keep {
        let kept = Tensor::concat(&blocks.collect::<Vec<_>>(), 0).reshape([d.n, d.g, d.o, d.i]);
        return outer.in_parameter_order(&kept).reshape([d.n, d.g * d.o * d.i]);
    }
    let sum = blocks.reduce(|mut sum, block| {
        sum.axpy(1.0, &block);
        sum
    });
    let sum = sum.expect("a batch holds a sample").reshape([d.g, d.o, d.i]);
    outer.in_parameter_order(&sum).reshape([d.g * d.o * d.i])
}
