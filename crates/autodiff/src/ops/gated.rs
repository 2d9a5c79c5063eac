//! Rectifiers with a learned slope, and gated linear units: made of ordinary operations.

use vivit_tensor::{Binary, Unary};

use crate::{Tape, Var};

impl Tape {
    /// `x` above 0, `slope · x` elsewhere, x `[N, *]` or `[N, C, *]` and the slope `[1]` or `[C]`:
    /// one for all, or one per entry of axis 1.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 2, 2], vec![1.0, -1.0, 2.0, -2.0])?);
    /// let slope = tape.param(Tensor::from_vec(&cpu, [2], vec![0.5, 0.25])?);
    /// let y = tape.p_relu(x, slope);
    /// assert_eq!(tape.value(y).to_vec()?, [1.0, -0.5, 2.0, -0.5]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, or the slope carries a sample axis.
    #[track_caller]
    pub fn p_relu(&mut self, x: Var, slope: Var) -> Var {
        self.expect_unbatched("parametric relu", &[slope]);
        let (shape, given) = (*self.value(x).shape(), *self.value(slope).shape());
        let channels = if given.size() == 1 { 1 } else { *shape.get(1).unwrap_or(&1) };
        assert!(
            given.rank() == 1 && given[0] == channels,
            "parametric relu of {shape}: the slope must be [1] or as long as axis 1, got {given}"
        );
        let mut slope = slope;
        if channels > 1 && shape.rank() > 2 {
            let mut aligned = vec![1; shape.rank() - 1];
            aligned[0] = channels;
            slope = self.reshape(slope, &aligned);
        }
        self.arithmetic(Binary::PRelu, x, slope)
    }

    /// The two halves of axis `axis`.
    #[track_caller]
    fn halves(&mut self, what: &str, x: Var, axis: usize) -> [Var; 2] {
        self.expect_axis(what, x, axis);
        let len = self.value(x).shape()[axis];
        assert!(
            len > 0 && len % 2 == 0,
            "{what} along axis {axis} of {}: its length must be even",
            self.value(x).shape()
        );
        [self.slice(x, axis, 0, len / 2), self.slice(x, axis, len / 2, len)]
    }

    /// `a σ(b)` of the halves a and b of axis `axis`, which is half as long then (GLU; Dauphin et
    /// al. 2017).
    ///
    /// # Panics
    /// If there is no such axis, its length is odd, or it is the sample axis.
    #[track_caller]
    pub fn glu(&mut self, x: Var, axis: usize) -> Var {
        let [value, gate] = self.halves("gated linear unit", x, axis);
        let gate = self.sigmoid(gate);
        self.mul(value, gate)
    }

    /// `a σ(a) b` of the halves a and b of axis `axis`, which is half as long then (SwiGLU; Shazeer
    /// 2020).
    ///
    /// # Panics
    /// As [`glu`](Tape::glu).
    #[track_caller]
    pub fn swiglu(&mut self, x: Var, axis: usize) -> Var {
        let [gate, value] = self.halves("gated linear unit", x, axis);
        let gate = self.map(Unary::Silu, gate);
        self.mul(gate, value)
    }
}
