//! The one-hot input of a looked-up table: `z[n, t, i] = 1` where position t of sample n looks up
//! row i, kept as the rows' numbers.

use std::ops::Range;

use vivit_tensor::{AxisPicks, Binary, Index, Shape, Tensor};

/// Rows that are looked up: `ids: [N, T]`, whole numbers below `rows`.
#[derive(Clone, Debug)]
pub(crate) struct OneHot {
    ids: Tensor,
    rows: usize,
}

impl OneHot {
    pub fn new(ids: Tensor, rows: usize) -> Self {
        OneHot { ids, rows }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Samples and positions.
    pub fn dims(&self) -> [usize; 2] {
        [self.ids.shape()[0], self.ids.shape()[1]]
    }

    fn index(&self) -> Index {
        self.ids.device().positions(self.ids.buf(), &[self.rows])
    }

    /// z of some samples, `[samples.len(), T, I]`.
    pub fn dense(&self, samples: Range<usize>) -> Tensor {
        let (ids, device) = (self.ids.slice(samples.start, samples.end), self.ids.device());
        let hot = device.one_hot(ids.buf(), self.rows);
        Tensor::from_buf(device, [samples.len(), self.dims()[1], self.rows], hot)
    }

    /// All side by side along T, of tables of the same length.
    ///
    /// # Panics
    /// If there is none.
    pub fn concat(parts: &[Self]) -> Self {
        let ids: Vec<Tensor> = parts.iter().map(|part| part.ids.clone()).collect();
        OneHot { ids: Tensor::concat(&ids, 1), rows: parts[0].rows }
    }

    /// Where the same row is looked up: `⟨z[m, t′], z′[n, t]⟩`, `[m · T, n · T]`.
    pub fn products(&self, samples: Range<usize>, other: &Self, others: Range<usize>) -> Tensor {
        let (m, n) =
            (self.ids.slice(samples.start, samples.end), other.ids.slice(others.start, others.end));
        m.reshape([m.len(), 1]).binary(Binary::Equal, &n.reshape([1, n.len()]))
    }

    /// `Σ_t z[n, t, i] s[v, n, t, o]` for `s: [V, N, T, O]`: `[V, N, I, O]`, or summed over samples
    /// `[V, I, O]`.
    pub fn scatter(&self, s: &Tensor, keep: bool) -> Tensor {
        let ([n, t], device) = (self.dims(), s.device());
        let (v, o) = (s.shape()[0], s.len() / (s.shape()[0] * n * t).max(1));
        let picks = AxisPicks {
            columns: v,
            samples: n,
            own_source: keep,
            own_index: true,
            ..AxisPicks::along([1, self.rows, o], t)
        };
        let shape =
            if keep { Shape::from([v, n, self.rows, o]) } else { Shape::from([v, self.rows, o]) };
        Tensor::from_buf(device, shape, device.scatter_axis(s.buf(), &self.index(), &picks))
    }

    /// `Σ_t s[v, n, t, o] z[n, t, i]` of some samples and out-features, `[V, n, O, I]`, for `s: [V,
    /// N, T, O]`.
    pub fn expand(
        &self,
        s: &Tensor,
        samples: Range<usize>,
        features: Range<usize>,
        o: usize,
    ) -> Tensor {
        let ([held, t], v, device) = (self.dims(), s.shape()[0], s.device());
        let (n, m) = (samples.len(), features.len());
        let from = s.buf().slice(samples.start * t * o + features.start..s.len());
        let shape = Shape::from([v, n, m, t]);
        let turned = device.copy_strided(&from, &shape, &[held * t * o, t * o, 1, o]);
        let ids = self.ids.slice(samples.start, samples.end);
        let picks = AxisPicks {
            columns: v,
            samples: n,
            own_index: true,
            ..AxisPicks::along([m, self.rows, 1], t)
        };
        let index = device.positions(ids.buf(), &[self.rows]);
        let expanded = device.scatter_axis(&turned, &index, &picks);
        Tensor::from_buf(device, [v, n, m, self.rows], expanded)
    }

    /// s with what meets the same row of a sample added up, at the first of its positions: no two
    /// positions of a sample that differ from zero meet then. `s: [V, N, T, O]`, of any shape.
    pub fn distinct(&self, s: &Tensor) -> Tensor {
        let ([n, t], device) = (self.dims(), s.device());
        let (v, o) = (s.shape()[0], s.len() / (s.shape()[0] * n * t).max(1));
        let picks =
            AxisPicks { columns: v, samples: n, own_index: true, ..AxisPicks::along([1, t, o], t) };
        let first = device.first_equal(&self.index(), t);
        Tensor::from_buf(device, *s.shape(), device.scatter_axis(s.buf(), &first, &picks))
    }

    /// `Σ_{n, t} z zᵀ`: how often each row is looked up, on the diagonal, `[I, I]`.
    pub fn gram(&self) -> Tensor {
        let [n, t] = self.dims();
        let ones = Tensor::full(self.ids.device(), [1, n, t, 1], 1.0);
        let counts = self.scatter(&ones, false).reshape([self.rows]);
        Tensor::eye(self.ids.device(), self.rows).mul(&counts)
    }

    /// `z · w` for `w: [K, I, O]`: the rows of K tables, `[K, N, T, O]`.
    pub fn look_up(&self, w: &Tensor) -> Tensor {
        let ([n, t], device) = (self.dims(), w.device());
        let (k, o) = (w.shape()[0], w.len() / (w.shape()[0] * self.rows).max(1));
        let picks = AxisPicks {
            columns: k,
            samples: n,
            own_source: false,
            own_index: true,
            ..AxisPicks::along([1, self.rows, o], t)
        };
        let rows = device.gather_axis(w.buf(), &self.index(), &picks);
        Tensor::from_buf(device, [k, n, t, o], rows)
    }
}
