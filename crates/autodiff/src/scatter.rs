//! What a maximum lets through: entries that each go to one place.

use vivit_tensor::{Device, Index, Shape, Tensor, Unary, Window};

/// `Jᵀ` of one or several operations, one after the other, that send every entry of a plane to one
/// place of another plane, times a number.
///
/// Operations before a maximum cost as much as a pass over their planes each; at the places of the
/// maxima alone they cost next to nothing, and the columns of a factor, which are many, go all the
/// way at once.
#[derive(Clone, Debug)]
pub struct ScatterJacobian {
    index: Index,
    /// From its windows to positions of its input.
    window: Window,
    /// The shape `[N, C, *in]` that is arrived at.
    shape: Shape,
    /// Per window of every plane; `None` for ones.
    weights: Option<Tensor>,
}

impl ScatterJacobian {
    /// From the windows of `[N, C, *in]` to the positions that `index: [N·C, windows]` tells.
    pub fn new(index: Index, window: Window, shape: Shape) -> Self {
        ScatterJacobian { index, window, shape, weights: None }
    }

    fn planes(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// What lies at the places that are arrived at, `[N·C, windows]`.
    fn at(&self, x: &Tensor) -> Tensor {
        let there = x.device().gather(x.buf(), &self.index, self.planes(), &self.window);
        Tensor::from_buf(x.device(), [self.planes(), self.window.output_len()], there)
    }

    /// Through `y = f(x)`, entry by entry.
    #[must_use]
    pub fn then_scale(&self, f: Unary, x: &Tensor, y: &Tensor) -> Self {
        let (x, y) = (self.at(x), self.at(y));
        let before =
            self.weights.clone().unwrap_or_else(|| Tensor::full(x.device(), *x.shape(), 1.0));
        ScatterJacobian { weights: Some(before.unary_chain(f, &x, &y)), ..self.clone() }
    }

    /// Through zeros around `[N, C, *in]`, which become `shape` without them: `before` each of the
    /// spatial axes. `None` if the device can't.
    #[must_use]
    pub fn then_crop(&self, device: &Device, shape: Shape, before: &[isize]) -> Option<Self> {
        let axes = before.len();
        let (mut first, mut input) = ([0; 3], [1; 3]);
        first[3 - axes..].copy_from_slice(before);
        input[3 - axes..].copy_from_slice(&shape[2..]);
        let (entries, windows) =
            (self.planes() * self.window.output_len(), self.window.output_len());
        let (index, inside) =
            device.translate_index(&self.index, entries, self.window.input, first, input)?;
        let inside = Tensor::from_buf(device, [self.planes(), windows], inside);
        let weights = Some(
            self.weights.as_ref().map_or_else(|| inside.clone(), |weights| weights.mul(&inside)),
        );
        Some(ScatterJacobian { index, window: Window { input, ..self.window }, shape, weights })
    }

    /// `[V, N, C, *out]` to `[V, N, C, *in]`.
    #[must_use]
    pub fn apply(&self, mat: &Tensor) -> Tensor {
        let (v, device) = (mat.shape()[0], mat.device());
        let weighted = match &self.weights {
            Some(weights) => mat.reshape([v, self.planes(), self.window.output_len()]).mul(weights),
            None => mat.clone(),
        };
        let there = device.scatter_add(weighted.buf(), &self.index, self.planes(), &self.window);
        Tensor::from_buf(device, self.shape.prefixed(&[v]), there)
    }
}
