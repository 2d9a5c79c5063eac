//! Where the largest or the smallest entry along an axis is.

use vivit_tensor::{Tensor, Window};

use crate::op::{zero_jac, zero_jac_t};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// The position of the largest or the smallest entry along an axis, which disappears: a whole
/// number, the first one of equal entries. Nothing is differentiated in it.
#[derive(Clone, Copy, Debug)]
pub struct ArgMax {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
    /// Whether it is the smallest entry.
    pub least: bool,
}

impl Op for ArgMax {
    fn name(&self) -> &'static str {
        if self.least { "argmin" } else { "argmax" }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, device) = (args[0], args[0].device());
        let mut shape = x.shape().to_vec();
        let planes: usize = shape[..self.axis].iter().product();
        let (len, inner) = (shape.remove(self.axis), shape[self.axis..].iter().product());
        // The axis is a window's length, and the positions along it are what is gathered.
        let window = Window::new(&[len, inner], &[len, 1], &[1, 1], &[0, 0], &[1, 1], false)
            .expect("a window as long as the axis fits");
        let numbers = (0..len).map(|at| at as f64).collect::<Vec<_>>();
        let numbers = Tensor::from_vec(device, [len, 1], numbers).expect("as many as the axis has");
        let numbers = numbers.broadcast([1, planes, len, inner]);
        let x = if self.least { x.scale(-1.0) } else { x.clone() };
        let index = device.argmax(x.buf(), planes, &window);
        Tensor::from_buf(device, &shape, device.gather(numbers.buf(), &index, planes, &window))
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        true
    }

    /// Zero.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        zero_jac_t(io, wrt, mat, batch)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        zero_jac(io, tangent)
    }

    fn effort(&self, _io: Io<'_>, _wrt: usize) -> Effort {
        Effort::default()
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    #[track_caller]
    fn arg_extremum(&mut self, x: Var, axis: usize, least: bool) -> Var {
        self.expect_entries(if least { "argmin" } else { "argmax" }, x, axis);
        self.record(ArgMax { axis, least }, &[x])
    }

    /// The position of the largest entry along axis `axis`, which disappears: a whole number from 0
    /// on, the first one of equal entries; a NaN counts as the largest. Nothing is differentiated
    /// in it.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 4], vec![1.0, 4.0, -1.0, 4.0])?);
    /// let y = tape.argmax(x, 1);
    /// assert_eq!(tape.value(y).to_vec()?, [1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or it has no entries.
    #[track_caller]
    pub fn argmax(&mut self, x: Var, axis: usize) -> Var {
        self.arg_extremum(x, axis, false)
    }

    /// The position of the smallest entry along axis `axis`, which disappears; as
    /// [`argmax`](Tape::argmax).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn argmin(&mut self, x: Var, axis: usize) -> Var {
        self.arg_extremum(x, axis, true)
    }
}
