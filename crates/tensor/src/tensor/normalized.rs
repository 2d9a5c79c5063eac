//! Softmax and normalisation to mean zero and variance one, with their Jacobians.

use super::Tensor;

impl Tensor {
    /// Softmax along axis `axis`.
    #[track_caller]
    #[must_use]
    pub fn softmax(&self, axis: usize) -> Self {
        let (outer, inner) =
            (self.shape[..axis].iter().product(), self.shape[axis + 1..].iter().product());
        self.with_buf(self.device.softmax(&self.buf, outer, self.shape[axis], inner))
    }

    /// Blocks of `block` consecutive entries as rows, normalised: `(x − μ)/σ`, `σ² = mean((x − μ)²)
    /// + ε`, with the mean μ of each, or 0 without `centre`.
    ///
    /// # Panics
    /// If the blocks do not divide the entries.
    #[track_caller]
    #[must_use]
    pub fn normalize(&self, block: usize, centre: bool, epsilon: f64) -> Self {
        assert!(block > 0 && self.len() % block == 0, "blocks of {block} of {}", self.shape);
        self.with_buf(self.device.normalize(&self.buf, block, centre, epsilon))
    }

    /// `1/σ` of the blocks that [`normalize`](Tensor::normalize) normalises: `[blocks]`.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    #[must_use]
    pub fn inverse_deviations(&self, block: usize, centre: bool, epsilon: f64) -> Self {
        assert!(block > 0 && self.len() % block == 0, "blocks of {block} of {}", self.shape);
        let buf = self.device.inverse_deviations(&self.buf, block, centre, epsilon);
        Tensor::from_buf(&self.device, [self.len() / block], buf)
    }

    /// The Jacobian of [`normalize`](Tensor::normalize) times columns, which are this array: `[V,
    /// *]`, with its result `normal: [*]` and [`inverse_deviations`](Tensor::inverse_deviations).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    #[must_use]
    pub fn normalize_chain(&self, normal: &Self, inverse: &Self, centre: bool) -> Self {
        assert!(
            self.shape.ends_with(&normal.shape),
            "normalisation of {} can't pull back {}",
            normal.shape,
            self.shape
        );
        self.device.assert_same(&normal.device, "derivative of a normalisation");
        self.device.assert_same(&inverse.device, "derivative of a normalisation");
        let block = normal.len() / inverse.len().max(1);
        assert!(
            block * inverse.len() == normal.len(),
            "{} blocks of {}",
            inverse.shape,
            normal.shape
        );
        let (normal, inverse) = (&normal.buf, &inverse.buf);
        self.with_buf(self.device.normalize_chain(normal, inverse, &self.buf, block.max(1), centre))
    }

    /// Softmax's Jacobian times columns, `p ∘ (M − Σ p ∘ M)`, in the place of the columns, which
    /// are this array: `[V, *]`. `p` are probabilities along its axis `axis`, `[*]`.
    ///
    /// ```
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let p = Tensor::from_vec(&cpu, [2], vec![0.5, 0.5])?;
    /// let mut columns = Tensor::from_vec(&cpu, [1, 2], vec![4.0, 0.0])?;
    /// columns.softmax_chain(&p, 0);
    /// assert_eq!(columns.to_vec()?, [1.0, -1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the columns' trailing axes are not those of `p`, or there is no such axis.
    #[track_caller]
    pub fn softmax_chain(&mut self, p: &Self, axis: usize) {
        assert!(
            self.shape.ends_with(&p.shape),
            "softmax of {} can't pull back {}",
            p.shape,
            self.shape
        );
        self.device.assert_same(&p.device, "derivative of softmax");
        let (outer, inner) =
            (p.shape[..axis].iter().product(), p.shape[axis + 1..].iter().product());
        self.device.softmax_chain(&p.buf, &mut self.buf, outer, p.shape[axis], inner);
    }
}
