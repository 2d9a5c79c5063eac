//! `y[n, *, o] = Σ_ij x[n, *, i] w[o, i, j] z[n, *, j] + b[o]`, made of ordinary operations.

use super::Linear;
use crate::{Tape, Var};

impl Tape {
    /// `xᵀ W_o z + b_o` along the last axes: x `[N, *, I]`, z `[N, *, J]` of equal further axes,
    /// weight `[O, I, J]`, bias `[O]`, to `[N, *, O]` (PyTorch's `nn.Bilinear`).
    ///
    /// The products of entries, `[N, *, I·J]`, are held on the tape; the weight's Jacobian keeps
    /// the structure of a linear map of them.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 2], vec![2.0, 3.0])?);
    /// let z = tape.input(Tensor::from_vec(&cpu, [1, 1], vec![5.0])?);
    /// let w = tape.param(Tensor::from_vec(&cpu, [1, 2, 1], vec![1.0, 10.0])?);
    /// let y = tape.bilinear(x, z, w, None);
    /// assert_eq!(tape.value(y).to_vec()?, [160.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, or weight or bias carry a sample axis.
    #[track_caller]
    pub fn bilinear(&mut self, x: Var, z: Var, weight: Var, bias: Option<Var>) -> Var {
        let shapes = [x, z, weight].map(|var| *self.value(var).shape());
        let [x_shape, z_shape, w_shape] = shapes;
        let (lead, batched) = (usize::from(self.is_batched(x)), self.is_batched(z));
        let rank = x_shape.rank();
        assert!(
            rank > lead
                && z_shape.rank() == rank
                && batched == self.is_batched(x)
                && x_shape[..rank - 1] == z_shape[..rank - 1]
                && w_shape.rank() == 3
                && w_shape[1..] == [x_shape[rank - 1], z_shape[rank - 1]],
            "bilinear: {x_shape}, {z_shape} and weight {w_shape} do not fit"
        );
        let (own, [i, j]) = (&x_shape[lead..rank - 1], [w_shape[1], w_shape[2]]);
        let column = self.reshape(x, &[own, &[i, 1]].concat());
        let row = self.reshape(z, &[own, &[1, j]].concat());
        let products = self.mul(column, row);
        let products = self.reshape(products, &[own, &[i * j]].concat());
        let args: Vec<Var> = [products, weight].into_iter().chain(bias).collect();
        self.expect_unbatched("bilinear", &args[1..]);
        self.record(Linear, &args)
    }
}
