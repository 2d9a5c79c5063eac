//! Chosen entries of an axis, in any order: selections, reversals.

use vivit_tensor::{AxisPicks, Device, Index, Tensor};

use crate::device_cache::DeviceCache;
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// Entry `i` of the result's axis is entry `pick[i]` of the argument's.
#[derive(Clone, Debug)]
pub struct IndexSelect {
    axis: usize,
    pick: Vec<usize>,
    on_device: DeviceCache,
}

impl IndexSelect {
    /// The entries `pick` of axis `axis`, which has `len`.
    ///
    /// # Panics
    /// If an entry is out of range.
    #[track_caller]
    pub fn new(axis: usize, len: usize, pick: &[usize]) -> Self {
        if let Some(at) = pick.iter().find(|&&at| at >= len) {
            panic!("index {at} is out of range: axis {axis} has {len} entries");
        }
        IndexSelect { axis, pick: pick.to_vec(), on_device: DeviceCache::default() }
    }

    fn index(&self, device: &Device) -> Index {
        let on_device = self.on_device.get_or(
            |(of, _): &(Device, Index)| of == device,
            || {
                let pick = self.pick.iter().map(|&at| at as u32).collect();
                (device.clone(), device.upload_index(pick))
            },
        );
        on_device.1
    }
}

impl Op for IndexSelect {
    fn name(&self) -> &'static str {
        "index selection"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].index_select(self.axis, &self.pick)
    }

    /// `Σ_{i: pick[i] = j} M[…, i, …]` at entry j
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let (axis, device) = (self.axis + 1, mat.device());
        let shape = io.args[0].shape().prefixed(&mat.shape()[..1]);
        let outer = shape[..axis].iter().product();
        let inner = shape[axis + 1..].iter().product();
        let picks = AxisPicks::along([outer, shape[axis], inner], self.pick.len());
        let sums = device.scatter_axis(mat.buf(), &self.index(device), &picks);
        Tensor::from_buf(device, shape, sums)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.index_select(self.axis + 1, &self.pick)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.share(0).max(io.out_share()))
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The entries `pick` of axis `axis`, in that order; an entry may be chosen several times.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3], vec![1.0, 2.0, 3.0])?);
    /// let y = tape.index_select(x, 1, &[2, 0, 2]);
    /// assert_eq!(tape.value(y).to_vec()?, [3.0, 1.0, 3.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis or entry, or it is the sample axis.
    #[track_caller]
    pub fn index_select(&mut self, x: Var, axis: usize, pick: &[usize]) -> Var {
        self.expect_axis("index selection", x, axis);
        let len = self.value(x).shape()[axis];
        self.record(IndexSelect::new(axis, len, pick), &[x])
    }

    /// The entries of axis `axis` in reverse order.
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn flip(&mut self, x: Var, axis: usize) -> Var {
        self.expect_axis("reversal", x, axis);
        let len = self.value(x).shape()[axis];
        let pick: Vec<usize> = (0..len).rev().collect();
        self.record(IndexSelect::new(axis, len, &pick), &[x])
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Rng};

    use super::*;
    use crate::check::check_derivatives;

    #[test]
    fn derivatives_hold() {
        let cpu = Device::cpu_f64();
        let numbers = Rng::new(3).normal(2 * 4 * 3);
        let x = Tensor::from_vec(&cpu, [2, 4, 3], numbers).unwrap();
        for (axis, pick) in [(1, vec![3, 2, 1, 0]), (1, vec![2]), (2, vec![1, 0, 1, 1, 2])] {
            let op = IndexSelect::new(axis, x.shape()[axis], &pick);
            for batched in [true, false] {
                for check in
                    check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5).unwrap()
                {
                    assert!(check.passed(), "axis {axis} {pick:?}: {check}");
                }
            }
        }
    }

    #[test]
    fn the_transpose_adds_up_what_was_chosen_twice() {
        let cpu = Device::cpu_f64();
        let x = Tensor::zeros(&cpu, [1, 3]);
        let op = IndexSelect::new(1, 3, &[2, 0, 2]);
        let out = op.forward(&[&x]);
        let io = Io { args: &[&x], out: &out, batched: &[true] };
        let mat = Tensor::from_vec(&cpu, [1, 1, 3], vec![1.0, 10.0, 100.0]).unwrap();
        let pulled = op.jac_t(io, 0, &mat, Batch::Sum).to_vec().unwrap();
        assert_eq!(pulled, [10.0, 0.0, 101.0]);
    }
}
