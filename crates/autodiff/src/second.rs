//! Second derivatives of operations: what the Hessian needs beyond the GGN.
//!
//! With a gradient m at an operation's result, `J(x)ᵀ m` changes along a tangent t of the arguments
//! by
//!
//! ```text
//! d/dε J_a(x + ε t)ᵀ m = Σ_b R_ab t_b        R_ab = Σ_o m_o ∂²y_o/∂x_a∂x_b
//! ```
//!
//! The Hessian of the loss is the GGN plus these *residuals* of all operations, each pulled back to
//! the parameters.

use std::fmt;

use vivit_tensor::Tensor;

use crate::{Batch, Io};

/// `R_ab` of one pair of an operation's arguments.
pub enum Second<'a> {
    /// Not given: asking for the Hessian is an error that names the operation.
    Missing,
    /// Zero almost everywhere: the result is linear or piecewise linear in the pair.
    Zero,
    /// An operation that works entry by entry on its only argument: the function returns `f″(x)`,
    /// of x's shape.
    Entrywise(Box<Entrywise<'a>>),
    /// The result is linear in each of the two arguments, so that `R_ab t` is the product `J_aᵀ m`
    /// with t in the place of argument b.
    Bilinear,
    /// The function returns `R_ab t` for a tangent `t: [K, *b]` of argument b and a gradient `m:
    /// [1, *out]`, in the shape that [`Op::jac_t`](crate::Op::jac_t) has for K columns: `[K, *a]`,
    /// or `[K, N, *a]` where a has no sample axis and is to keep it.
    Product(Box<Product<'a>>),
}

/// `io` to `f″(x)`.
type Entrywise<'a> = dyn Fn(Io<'_>) -> Tensor + 'a;
/// `(io, m, t, batch)` to `R t`.
type Product<'a> = dyn Fn(Io<'_>, &Tensor, &Tensor, Batch) -> Tensor + 'a;

impl<'a> Second<'a> {
    /// [`Second::Entrywise`] with the given `io ↦ f″(x)`.
    pub fn entrywise(f: impl Fn(Io<'_>) -> Tensor + 'a) -> Self {
        Second::Entrywise(Box::new(f))
    }

    /// [`Second::Product`] with the given `(io, m, t, batch) ↦ R t`.
    pub fn product(f: impl Fn(Io<'_>, &Tensor, &Tensor, Batch) -> Tensor + 'a) -> Self {
        Second::Product(Box::new(f))
    }

    /// Of an operation that is linear in each of its first two arguments and adds the others:
    /// [`Second::Bilinear`] for the mixed pair of these two, [`Second::Zero`] for all others.
    pub fn bilinear(wrt: usize, along: usize) -> Self {
        if wrt.min(along) == 0 && wrt.max(along) == 1 { Second::Bilinear } else { Second::Zero }
    }

    /// Whether there is nothing to add.
    pub fn is_zero(&self) -> bool {
        matches!(self, Second::Zero)
    }
}

impl fmt::Debug for Second<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Second::Missing => "Missing",
            Second::Zero => "Zero",
            Second::Entrywise(_) => "Entrywise",
            Second::Bilinear => "Bilinear",
            Second::Product(_) => "Product",
        })
    }
}
