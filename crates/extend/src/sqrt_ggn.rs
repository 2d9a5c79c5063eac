//! The GGN's square root `V_n = J_nᵀ S_n`, so that `G = Σ_n V_n V_nᵀ`. (BackPACK's `SqrtGGNExact`,
//! `SqrtGGNMC`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_root, per_parameter};

of_root! {
    /// V: `[V, N_S, *p]` per parameter. Over chosen samples it is scaled so that `V Vᵀ` estimates
    /// the GGN of the whole batch.
    SqrtGgn
}

per_parameter! { SqrtGgn, Tensor, |site| Ok(site.jac_t(0, Batch::Keep)) }
