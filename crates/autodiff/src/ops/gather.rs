//! Entries that indices on the tape choose along an axis: `y[…, p, …] = x[…, index[p], …]`.

use vivit_tensor::{AxisPicks, Shape, Tensor};

use crate::op::{zero_jac, zero_jac_t};
use crate::{
    Batch, Effort, Error, FiniteCheck, Io, Op, Order, Outer, OuterDims, Second, Tape, Var,
};

/// Entries of an axis of x, chosen by whole numbers below the axis's length. Arguments: x and
/// index; nothing is differentiated in index.
///
/// Either argument may carry a sample axis, or both, and the result does then.
#[derive(Clone, Debug)]
pub struct Gather {
    /// The axis of x.
    pub axis: usize,
    /// The axes that the axis of x consists of: where it is several, the index's last axis holds
    /// coordinates.
    pub axis_lens: Vec<usize>,
    /// Whether x and index carry a sample axis.
    pub batched: [bool; 2],
    /// Whether index has an entry for every entry of the result, and its shape; otherwise its shape
    /// takes the place of the axis.
    pub per_entry: bool,
}

impl Gather {
    /// How a sample's entries are chosen, for `columns` arrays x.
    fn picks(&self, columns: usize, x: &Shape, index: &Shape) -> AxisPicks {
        let [of_x, of_index] = self.batched.map(usize::from);
        let samples = if of_x == 1 { x[0] } else { index[..of_index].iter().product() };
        let outer = x[of_x..self.axis].iter().product();
        let inner = x[self.axis + 1..].iter().product();
        let own = &index[of_index..];
        let picks = if self.per_entry {
            own[self.axis - of_x]
        } else {
            own.iter().product::<usize>() / self.axis_lens.len()
        };
        AxisPicks {
            columns,
            samples,
            own_source: self.batched[0],
            own_index: self.batched[1],
            per_entry: self.per_entry,
            ..AxisPicks::along([outer, x[self.axis], inner], picks)
        }
    }

    fn out_shape(&self, x: &Shape, index: &Shape) -> Vec<usize> {
        let [of_x, of_index] = self.batched.map(usize::from);
        let samples = if of_x == 1 { &x[..1] } else { &index[..of_index] };
        let own = &index[of_index..];
        if self.per_entry {
            [samples, own].concat()
        } else {
            let own = if self.axis_lens.len() > 1 { &own[..own.len() - 1] } else { own };
            [samples, &x[of_x..self.axis], own, &x[self.axis + 1..]].concat()
        }
    }

    /// Whether x is a table of rows that every sample looks up.
    fn is_lookup(&self) -> bool {
        let by_rows = !self.per_entry && self.axis_lens.len() == 1;
        self.axis == 0 && self.batched == [false, true] && by_rows
    }
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, index, device) = (args[0], args[1], args[0].device());
        let at = device.positions(index.buf(), &self.axis_lens);
        let picks = self.picks(1, x.shape(), index.shape());
        let shape = self.out_shape(x.shape(), index.shape());
        Tensor::from_buf(device, shape.as_slice(), device.gather_axis(x.buf(), &at, &picks))
    }

    fn is_piecewise_constant(&self, wrt: usize) -> bool {
        wrt == 1
    }

    /// - x: `Σ_{p: index[p] = j} M[…, p, …]` at entry j
    /// - index: zero
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        if wrt == 1 {
            return zero_jac_t(io, wrt, mat, batch);
        }
        let (v, n, keep) = (mat.shape()[0], io.samples(), io.batch(batch) == Batch::Keep);
        let front: &[usize] = if keep && !io.batched[wrt] { &[v, n] } else { &[v] };
        let shape = io.args[wrt].shape().prefixed(front);
        let (x, index, device) = (io.args[0], io.args[1], mat.device());
        let at = device.positions(index.buf(), &self.axis_lens);
        let picks = self.picks(v, x.shape(), index.shape());
        let picks = AxisPicks { own_source: self.batched[0] || keep, ..picks };
        Tensor::from_buf(device, shape, device.scatter_axis(mat.buf(), &at, &picks))
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        if wrt == 1 {
            return zero_jac(io, tangent);
        }
        let (k, device) = (tangent.shape()[0], tangent.device());
        let shape = io.out.shape().prefixed(&[k]);
        let (x, index) = (io.args[0], io.args[1]);
        let at = device.positions(index.buf(), &self.axis_lens);
        let picks = self.picks(k, x.shape(), index.shape());
        Tensor::from_buf(device, shape, device.gather_axis(tangent.buf(), &at, &picks))
    }

    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        let (v, n, x, index) = (mat.shape()[0], io.samples(), io.args[0], io.args[1]);
        (wrt == 0 && self.is_lookup()).then(|| {
            let (t, rows) = (index.len() / n.max(1), x.shape()[0]);
            let s = mat.reshape([v, n, 1, t, x.len() / rows.max(1)]);
            Outer::rows(s, index.reshape([n, t]), rows)
        })
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        (wrt == 0 && self.is_lookup()).then(|| {
            let (i, t) = (io.args[0].shape()[0], io.share(1));
            OuterDims {
                v: 1,
                n: 1,
                g: 1,
                t,
                o: io.args[0].len() / i.max(1),
                i,
                one_hot: true,
                order: Order::InOut,
            }
        })
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_sample: io.share(1), ..Effort::of(io.share(0).max(io.out_share())) }
    }

    /// None in x; of whole numbers the result is piecewise constant.
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

/// Whole numbers as coordinates `[*, axes]`, or positions on one axis: negative ones count from the
/// end, NaN stands for what is none. Nothing is differentiated.
#[derive(Clone, Debug)]
struct Positions {
    axis_lens: Vec<usize>,
}

impl Op for Positions {
    fn name(&self) -> &'static str {
        "positions on an axis"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (index, device, axes) = (args[0], args[0].device(), self.axis_lens.len());
        let columns = index.reshape([index.len() / axes, axes]);
        let known = |(at, &len): (usize, &usize)| {
            let column = columns.index_select(1, &[at]);
            // Where this fails the device has, and says so later.
            let known = device.row_or_nan(column.buf(), len, true);
            known
                .map_or_else(|_| column.clone(), |at| Tensor::from_buf(device, *column.shape(), at))
        };
        let known: Vec<Tensor> = self.axis_lens.iter().enumerate().map(known).collect();
        Tensor::concat(&known, 1).reshape(*index.shape())
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        true
    }

    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        zero_jac_t(io, wrt, mat, batch)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        zero_jac(io, tangent)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share())
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Positions on an axis (or coordinates on several) from indices, of which negative ones count
    /// from the end; the claim that they are some is looked at before any result is returned.
    pub(super) fn axis_positions(&mut self, index: Var, axis_lens: &[usize]) -> Var {
        let lens = axis_lens.to_vec();
        let positions = self.record(Positions { axis_lens: lens.clone() }, &[index]);
        let (given, witness) = (self.value(index).clone(), self.value(positions).clone());
        let shape = *given.shape();
        let fault = move |at: usize, value: f64| {
            let axis_len = lens[at % lens.len()];
            Error::NoEntry { value, index: shape.index_of(at), axis_len }
        };
        self.add_check(FiniteCheck::witnessed(witness, &given, fault));
        positions
    }

    /// The entries `index` of axis `axis`, as `numpy.take`: the index's shape takes the axis's
    /// place.
    ///
    /// x and index may each carry a sample axis. An index without one is the same for every sample;
    /// an x without one is a table that every sample looks up. The index holds whole numbers, of
    /// which negative ones count from the end; a number that names no entry is an error of the
    /// first sweep.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3], vec![1.0, 2.0, 3.0])?);
    /// let index = tape.constant(Tensor::from_vec(&cpu, [2, 2], vec![2.0, 0.0, -1.0, 1.0])?);
    /// let y = tape.gather(x, 1, index); // [1, 2, 2]
    /// assert_eq!(tape.value(y).to_vec()?, [3.0, 1.0, 3.0, 2.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn gather(&mut self, x: Var, axis: usize, index: Var) -> Var {
        self.expect_axis("gather", x, axis);
        let batched = [self.is_batched(x), self.is_batched(index)];
        let axis_lens = vec![self.value(x).shape()[axis]];
        let index = self.axis_positions(index, &axis_lens);
        self.record(Gather { axis, axis_lens, batched, per_entry: false }, &[x, index])
    }

    /// The entries `index` of axis `axis`, one for every entry of the result, as `torch.gather`:
    /// `y[…, p, …] = x[…, index[…, p, …], …]`.
    ///
    /// The index has as many axes as x (samples apart), which in all but `axis` are at most as long
    /// as x's. Sample axes and numbers are as in [`gather`](Tape::gather).
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or the shapes do not fit.
    #[track_caller]
    pub fn gather_elements(&mut self, x: Var, axis: usize, index: Var) -> Var {
        self.expect_axis("gather by entries", x, axis);
        let batched = [self.is_batched(x), self.is_batched(index)];
        let lead = batched.map(usize::from);
        let (of_x, of_index) = (*self.value(x).shape(), *self.value(index).shape());
        let fits = of_x.rank() - lead[0] == of_index.rank() - lead[1];
        assert!(fits, "gather by entries: an index {of_index} for entries of {of_x}");
        let mut source = x;
        for at in (lead[0]..of_x.rank()).filter(|&at| at != axis) {
            let len = of_index[at + lead[1] - lead[0]];
            assert!(len <= of_x[at], "gather by entries: an index {of_index} for {of_x}");
            if len < of_x[at] {
                source = self.slice(source, at, 0, len);
            }
        }
        let axis_lens = vec![of_x[axis]];
        let index = self.axis_positions(index, &axis_lens);
        self.record(Gather { axis, axis_lens, batched, per_entry: true }, &[source, index])
    }

    /// The entries whose coordinates the index's last axis holds, as ONNX's `GatherND`: with as
    /// many coordinates as it is long, `y[p, …] = x[index[p, 0], index[p, 1], …, …]`.
    ///
    /// The coordinates are those of a sample where x carries a sample axis. Sample axes and numbers
    /// are as in [`gather`](Tape::gather).
    ///
    /// # Panics
    /// If there are no coordinates, or more than axes.
    #[track_caller]
    pub fn gather_nd(&mut self, x: Var, index: Var) -> Var {
        let [axis_lens, inner, places] = self.coordinates("gather by coordinates", x, index);
        let source = self.reshape(x, &[&[axis_lens.iter().product()], &inner[..]].concat());
        let count: usize = places.iter().product();
        let (axes, axis) = (axis_lens.len(), usize::from(self.is_batched(x)));
        let flat: &[usize] = if axes > 1 { &[count, axes] } else { &[count] };
        let flat = self.reshape(index, flat);
        let at = self.axis_positions(flat, &axis_lens);
        let batched = [self.is_batched(x), self.is_batched(index)];
        let y = self.record(Gather { axis, axis_lens, batched, per_entry: false }, &[source, at]);
        self.reshape(y, &[places, inner].concat())
    }

    /// The axes that the index's coordinates speak of, the others of x, and the others of index.
    #[track_caller]
    pub(super) fn coordinates(&self, what: &str, x: Var, index: Var) -> [Vec<usize>; 3] {
        let (of_x, of_index) = (self.own_shape(x), self.own_shape(index));
        let axes = of_index.last().copied().unwrap_or(0);
        assert!(
            (1..=of_x.rank()).contains(&axes),
            "{what}: an index {of_index} of {axes} coordinates for {of_x}"
        );
        let (named, inner) = of_x.split_at(axes);
        [named.to_vec(), inner.to_vec(), of_index[..of_index.rank() - 1].to_vec()]
    }
}
