//! Entries sent along an axis to where indices on the tape say: the adjoint of gathering.

use vivit_tensor::{AxisPicks, Shape, Tensor};

use crate::op::{zero_jac, zero_jac_t};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// What a scatter does with what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterReduction {
    /// Replaces it; an entry that several indices name gets their sum.
    Replace,
    /// Adds to it.
    Add,
}

/// Sums of updates at the entries of an axis that an index names, zero at the others: `y[…,
/// index[…, p, …], …] = Σ_p u[…, p, …]`. Arguments: index, whole numbers below the axis's length,
/// and updates; nothing is differentiated in index.
#[derive(Clone, Debug)]
pub struct Scatter {
    /// The axis, of a sample.
    pub axis: usize,
    /// Its length in the result, or those of the axes that it consists of: of several, the index
    /// holds coordinates.
    pub axis_lens: Vec<usize>,
    /// Whether index and updates carry a sample axis.
    pub batched: [bool; 2],
    /// Whether index has the updates' shape; otherwise it names an entry for every entry of the
    /// axis.
    pub per_entry: bool,
}

impl Scatter {
    fn axis_len(&self) -> usize {
        self.axis_lens.iter().product()
    }

    /// The shape of the updates per sample; where only the index carries a sample axis, they
    /// repeat.
    fn own(&self, updates: &Shape) -> Shape {
        if self.batched[1] { updates.tail() } else { *updates }
    }

    /// For `columns` arrays of updates of `samples` samples.
    fn picks(&self, columns: usize, samples: usize, updates: &Shape) -> AxisPicks {
        let own = self.own(updates);
        let (outer, inner) =
            (own[..self.axis].iter().product(), own[self.axis + 1..].iter().product());
        AxisPicks {
            columns,
            samples,
            own_index: self.batched[0],
            per_entry: self.per_entry,
            ..AxisPicks::along([outer, self.axis_len(), inner], own[self.axis])
        }
    }

    fn samples(&self, index: &Shape, updates: &Shape) -> usize {
        match self.batched {
            [_, true] => updates[0],
            [true, false] => index[0],
            _ => 1,
        }
    }

    /// `front` and the result's shape.
    fn out_shape(&self, front: &[usize], index: &Shape, updates: &Shape) -> Shape {
        let mut shape = self.own(updates).to_vec();
        shape[self.axis] = self.axis_len();
        if self.batched.contains(&true) {
            shape.insert(0, self.samples(index, updates));
        }
        Shape::new(&shape).prefixed(front)
    }

    /// `u: [K, *updates]` sent to their places.
    fn send(&self, u: &Tensor, index: &Tensor, updates: &Shape) -> Tensor {
        let (k, device, n) = (u.shape()[0], u.device(), self.samples(index.shape(), updates));
        let own = self.own(updates);
        let u = if self.batched == [true, false] {
            u.reshape(own.prefixed(&[k, 1])).broadcast(own.prefixed(&[k, n]))
        } else {
            u.clone()
        };
        let at = device.positions(index.buf(), &self.axis_lens);
        let sent = device.scatter_axis(u.buf(), &at, &self.picks(k, n, updates));
        Tensor::from_buf(device, self.out_shape(&[k], index.shape(), updates), sent)
    }
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (index, u) = (args[0], args[1]);
        let sent = self.send(&u.reshape(u.shape().prefixed(&[1])), index, u.shape());
        sent.reshape(sent.shape().tail())
    }

    fn is_piecewise_constant(&self, wrt: usize) -> bool {
        wrt == 0
    }

    /// - index: zero
    /// - updates: `M[…, index[…, p, …], …]`
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        if wrt == 0 {
            return zero_jac_t(io, wrt, mat, batch);
        }
        let (v, n, keep) = (mat.shape()[0], io.samples(), io.batch(batch) == Batch::Keep);
        let front: &[usize] = if keep && !io.batched[wrt] { &[v, n] } else { &[v] };
        let shape = io.args[wrt].shape().prefixed(front);
        let (index, device, updates) = (io.args[0], mat.device(), io.args[1].shape());
        let at = device.positions(index.buf(), &self.axis_lens);
        let picked = device.gather_axis(mat.buf(), &at, &self.picks(v, n, updates));
        if self.batched == [true, false] {
            let kept = Tensor::from_buf(device, updates.prefixed(&[v, n]), picked);
            return if keep { kept } else { kept.sum(1) };
        }
        Tensor::from_buf(device, shape, picked)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        if wrt == 0 {
            return zero_jac(io, tangent);
        }
        self.send(tangent, io.args[0], io.args[1].shape())
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_sample: io.share(0), ..Effort::of(io.share(1).max(io.out_share())) }
    }

    /// None in the updates; of whole numbers the result is piecewise constant.
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// `x` with the updates at the entries `index` of axis `axis`, as ONNX's `ScatterElements`:
    /// `y[…, index[…, p, …], …]` becomes, or has added, `updates[…, p, …]`.
    ///
    /// Index and updates have equal shapes (samples apart), which in all axes but `axis` are x's.
    /// Each may carry a sample axis; without one it is that of every sample. Whole numbers count as
    /// in [`gather`](Tape::gather).
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or the shapes do not fit.
    #[track_caller]
    pub fn scatter_elements(
        &mut self,
        x: Var,
        axis: usize,
        index: Var,
        updates: Var,
        reduction: ScatterReduction,
    ) -> Var {
        self.scatter_into(x, axis, index, updates, (true, reduction))
    }

    /// `x` with the updates at the entries `index` of axis `axis`, `index: [P]` naming whole
    /// slices: `y[…, index[p], …]` becomes, or has added, `updates[…, p, …]` (`torch.index_copy`
    /// and `index_add`). Otherwise as [`scatter_elements`](Tape::scatter_elements).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn scatter_slices(
        &mut self,
        x: Var,
        axis: usize,
        index: Var,
        updates: Var,
        reduction: ScatterReduction,
    ) -> Var {
        self.scatter_into(x, axis, index, updates, (false, reduction))
    }

    #[track_caller]
    fn scatter_into(
        &mut self,
        x: Var,
        axis: usize,
        index: Var,
        updates: Var,
        (per_entry, reduction): (bool, ScatterReduction),
    ) -> Var {
        self.expect_axis("scatter", x, axis);
        let [of_x, of_index, of_updates] = [x, index, updates].map(|var| self.own_shape(var));
        let axis = axis - usize::from(self.is_batched(x));
        let fits = of_x.rank() == of_updates.rank()
            && (0..of_x.rank()).all(|at| at == axis || of_x[at] == of_updates[at])
            && if per_entry { of_index == of_updates } else { *of_index == [of_updates[axis]] };
        assert!(fits, "scatter: an index {of_index} and updates {of_updates} for {of_x}");
        let op = Scatter { axis, axis_lens: vec![of_x[axis]], batched: [false; 2], per_entry };
        self.scatter_as(op, x, index, updates, reduction)
    }

    /// `x` with the updates at the entries whose coordinates the index's last axis holds, as ONNX's
    /// `ScatterND`: `y[index[p, 0], index[p, 1], …, …]` becomes, or has added, `updates[p, …]`.
    ///
    /// The coordinates are those of a sample. Otherwise as
    /// [`scatter_elements`](Tape::scatter_elements).
    ///
    /// # Panics
    /// If there are no coordinates, more than axes, or the shapes do not fit.
    #[track_caller]
    pub fn scatter_nd(
        &mut self,
        x: Var,
        index: Var,
        updates: Var,
        reduction: ScatterReduction,
    ) -> Var {
        let [axis_lens, inner, places] = self.coordinates("scatter by coordinates", x, index);
        let (of_x, of_updates) = (self.own_shape(x), self.own_shape(updates));
        assert!(
            of_updates[..] == [&places[..], &inner].concat(),
            "scatter by coordinates: updates {of_updates} for {places:?} places in {of_x}"
        );
        let (count, axes) = (places.iter().product(), axis_lens.len());
        let flat = self.reshape(x, &[&[axis_lens.iter().product()], &inner[..]].concat());
        let updates = self.reshape(updates, &[&[count], &inner[..]].concat());
        let index = self.reshape(index, &[count, axes]);
        let op = Scatter { axis: 0, axis_lens, batched: [false; 2], per_entry: false };
        let y = self.scatter_as(op, flat, index, updates, reduction);
        self.reshape(y, &of_x)
    }

    /// As `op` says, which is told what carries a sample axis.
    fn scatter_as(
        &mut self,
        op: Scatter,
        x: Var,
        index: Var,
        updates: Var,
        reduction: ScatterReduction,
    ) -> Var {
        let index = self.axis_positions(index, &op.axis_lens);
        let op = Scatter { batched: [self.is_batched(index), self.is_batched(updates)], ..op };
        let sent = self.record(op.clone(), &[index, updates]);
        if reduction == ScatterReduction::Add {
            return self.add(x, sent);
        }
        // Where ones arrive, so do the updates.
        let ones = Tensor::full(self.device(), self.own_shape(updates), 1.0);
        let ones = self.constant(ones);
        let op = Scatter { batched: [op.batched[0], false], ..op };
        let named = self.record(op, &[index, ones]);
        self.select(named, sent, x)
    }
}
