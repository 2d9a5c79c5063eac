//! What a maximum lets through: entries that each go to one place.

use vivit_tensor::{Backend, Shape, Tensor, Unary, Window};

/// `Jᵀ` of one or several operations, one after the other, that send every entry of a plane to one
/// place of another plane, times a number.
///
/// Operations before a maximum cost as much as a pass over their planes each; at the places of the
/// maxima alone they cost next to nothing, and the columns of a factor, which are many, go all the
/// way at once.
#[derive(Clone, Debug)]
pub struct Route<B: Backend> {
    index: B::Index,
    /// From its windows to positions of its input.
    window: Window,
    /// The shape `[N, C, *in]` that is arrived at.
    shape: Shape,
    /// Per window of every plane; `None` for ones.
    weights: Option<Tensor<B>>,
}

impl<B: Backend> Route<B> {
    /// From the windows of `[N, C, *in]` to the positions that `index: [N·C, windows]` tells.
    pub fn new(index: B::Index, window: Window, shape: Shape) -> Self {
        Route { index, window, shape, weights: None }
    }

    fn planes(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// What lies at the places that are arrived at, `[N·C, windows]`.
    fn at(&self, x: &Tensor<B>) -> Tensor<B> {
        let there = x.backend().take(x.buf(), &self.index, self.planes(), &self.window);
        Tensor::from_buf(x.backend(), [self.planes(), self.window.output_len()], there)
    }

    /// Through `y = f(x)`, entry by entry.
    #[must_use]
    pub fn through(&self, f: Unary, x: &Tensor<B>, y: &Tensor<B>) -> Self {
        let (x, y) = (self.at(x), self.at(y));
        let before =
            self.weights.clone().unwrap_or_else(|| Tensor::full(x.backend(), *x.shape(), 1.0));
        Route { weights: Some(before.unary_chain(f, &x, &y)), ..self.clone() }
    }

    /// Through zeros around `[N, C, *in]`, which become `shape` without them: `before` each of the
    /// spatial axes. `None` if the backend can't.
    #[must_use]
    pub fn without(&self, backend: &B, shape: Shape, before: &[isize]) -> Option<Self> {
        let axes = before.len();
        let (mut first, mut input) = ([0; 3], [1; 3]);
        first[3 - axes..].copy_from_slice(before);
        input[3 - axes..].copy_from_slice(&shape[2..]);
        let (entries, windows) =
            (self.planes() * self.window.output_len(), self.window.output_len());
        let (index, inside) =
            backend.move_index(&self.index, entries, self.window.input, first, input)?;
        let inside = Tensor::from_buf(backend, [self.planes(), windows], inside);
        let weights = Some(
            self.weights.as_ref().map_or_else(|| inside.clone(), |weights| weights.mul(&inside)),
        );
        Some(Route { index, window: Window { input, ..self.window }, shape, weights })
    }

    /// `[V, N, C, *out]` to `[V, N, C, *in]`.
    #[must_use]
    pub fn follow(&self, mat: &Tensor<B>) -> Tensor<B> {
        let (v, backend) = (mat.shape()[0], mat.backend());
        let weighted = match &self.weights {
            Some(weights) => mat.reshape([v, self.planes(), self.window.output_len()]).mul(weights),
            None => mat.clone(),
        };
        let there = backend.put(weighted.buf(), &self.index, self.planes(), &self.window);
        Tensor::from_buf(backend, self.shape.prefixed(&[v]), there)
    }
}
