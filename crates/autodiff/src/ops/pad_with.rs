//! Padding with values of the argument or a constant.

use vivit_tensor::Tensor;

use crate::{Tape, Var};

impl Tape {
    /// The last axes continued: position `at` outside an axis of `len` is a copy of `entry(at,
    /// len)`; pads are at most `most(len)` long.
    #[track_caller]
    fn pad_by(
        &mut self,
        what: &str,
        x: Var,
        pads: &[(usize, usize)],
        entry: impl Fn(isize, isize) -> isize,
        most: impl Fn(usize) -> usize,
    ) -> Var {
        let shape = *self.value(x).shape();
        let axes = shape.rank() - usize::from(self.is_batched(x));
        assert!(pads.len() <= axes, "{what}: {} pairs for {axes} axes", pads.len());
        let first = shape.rank() - pads.len();
        let mut y = x;
        for (axis, &(before, after)) in (first..).zip(pads).filter(|(_, pad)| **pad != (0, 0)) {
            let len = shape[axis];
            assert!(
                before.max(after) <= most(len),
                "{what} of {before} and {after} around the {len} entries of axis {axis} of {shape}"
            );
            let places = -(before as isize)..(len + after) as isize;
            let pick: Vec<usize> = places.map(|at| entry(at, len as isize) as usize).collect();
            y = self.index_select(y, axis, &pick);
        }
        y
    }

    /// The last axes continued by their mirror images, `(before, after)` each, outermost first; the
    /// entry at the end is not repeated (`mode="reflect"`).
    ///
    /// # Panics
    /// If there are more pads than axes (samples apart), or an axis is not longer than its padding.
    #[track_caller]
    pub fn reflect_pad(&mut self, x: Var, pads: &[(usize, usize)]) -> Var {
        let mirrored = |at: isize, len: isize| {
            let at = at.abs();
            if at < len { at } else { 2 * (len - 1) - at }
        };
        self.pad_by("reflection padding", x, pads, mirrored, |len| len.saturating_sub(1))
    }

    /// The last axes continued by their first and last entries, `(before, after)` each, outermost
    /// first (`mode="replicate"`, ONNX's `edge`).
    ///
    /// # Panics
    /// If there are more pads than axes (samples apart), or a padded axis is empty.
    #[track_caller]
    pub fn replicate_pad(&mut self, x: Var, pads: &[(usize, usize)]) -> Var {
        let nearest = |at: isize, len: isize| at.clamp(0, len - 1);
        let any = |len| if len == 0 { 0 } else { usize::MAX };
        self.pad_by("replication padding", x, pads, nearest, any)
    }

    /// The last axes continued periodically, `(before, after)` each, outermost first
    /// (`mode="circular"`, ONNX's `wrap`).
    ///
    /// # Panics
    /// If there are more pads than axes (samples apart), or a padded axis is empty.
    #[track_caller]
    pub fn circular_pad(&mut self, x: Var, pads: &[(usize, usize)]) -> Var {
        let any = |len| if len == 0 { 0 } else { usize::MAX };
        self.pad_by("circular padding", x, pads, |at, len| at.rem_euclid(len), any)
    }

    /// A constant around the last axes, `(before, after)` each, outermost first; negative numbers
    /// crop.
    ///
    /// # Panics
    /// As [`zero_pad`](Tape::zero_pad).
    #[track_caller]
    pub fn constant_pad(&mut self, x: Var, pads: &[(isize, isize)], value: f64) -> Var {
        let shape = *self.value(x).shape();
        let padded = self.zero_pad(x, pads);
        if value == 0.0 {
            return padded;
        }
        let own = if self.is_batched(x) { shape.tail() } else { shape };
        let mut all = vec![(0, 0); own.rank() - pads.len()];
        all.extend_from_slice(pads);
        // The constant where there is nothing of x. (It may be infinite.)
        let full = *self.value(padded).shape();
        let full = if self.is_batched(x) { full.tail() } else { full };
        let of_x = |(at, (&len, &(before, _))): (usize, (&usize, &(isize, isize)))| {
            (before..before + len as isize).contains(&(at as isize))
        };
        let entry = |at: usize| {
            let mut axes = full.index_of(at).into_iter().zip(own.iter().zip(&all));
            if axes.all(of_x) { 0.0 } else { value }
        };
        let frame: Vec<f64> = (0..full.size()).map(entry).collect();
        let device = self.device().clone();
        let frame = Tensor::from_buf(&device, full, device.upload(frame.into()));
        let frame = self.constant(frame);
        self.add(padded, frame)
    }
}
