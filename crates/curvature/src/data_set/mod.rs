//! The curvature of a whole data set, batch by batch.

mod tree;

use std::sync::atomic::{AtomicUsize, Ordering};

use vivit_autodiff::loss::LossSpec;
use vivit_autodiff::{
    Batches, DataBatch, ForeignError, Graph, Loss, Model, ParamId, ParamMap, Reduction,
};
use vivit_tensor::{Device, Matrix, Shape, Tensor};

use crate::matrix_free::check_vectors;
use crate::{
    CurvatureProduct, DerivativesAlong, Error, LanczosOptions, LeadingEigenpairs, LinearOperator,
    directional_derivatives_along, lanczos,
};
use tree::TreeSum;

/// A curvature matrix of the loss over a whole data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DataCurvature {
    /// The generalized Gauss-Newton matrix `Σ_n J_nᵀ H_n J_n`.
    #[default]
    Ggn,
    /// The Hessian.
    Hessian,
    /// The empirical Fisher information `s Σ_n g_n g_nᵀ`.
    EmpiricalFisher,
}

/// The loss of a model over a whole data set and its curvature, read batch by batch: memory is that
/// of one batch, whatever the size of the set.
///
/// The loss is a mean (or sum) over *all* samples, with the factor `a = 1/M` that counts entries,
/// positions or class weights over all batches; batches of different sizes, ignored labels and
/// class weights weigh as they should. Sums over batches are taken in double precision in a fixed
/// tree over the batches' numbers. A batch that differs from what it was when it was first read is
/// an error.
///
/// It is a [`LinearOperator`]: [`hutchinson_trace`](crate::hutchinson_trace),
/// [`hutch_plus_plus`](crate::hutch_plus_plus) and
/// [`LanczosQuadrature`](crate::LanczosQuadrature) take it as they take a batch's matrix.
///
/// ```
/// use vivit_autodiff::loss::CrossEntropySpec;
/// use vivit_curvature::{DataGgn, LanczosOptions};
/// use vivit_tensor::{Device, Rng, Tensor};
/// # use vivit_autodiff::{Batches, DataBatch, Error, Graph, InputSpec, Inputs, Labels, Model};
/// # use vivit_autodiff::{OutputSpec, Param, Tape};
/// # struct Line { inputs: [InputSpec; 1], outputs: [OutputSpec; 1], params: Vec<Param> }
/// # impl Model for Line {
/// #     fn inputs(&self) -> &[InputSpec] { &self.inputs }
/// #     fn outputs(&self) -> &[OutputSpec] { &self.outputs }
/// #     fn params(&self) -> &[Param] { &self.params }
/// #     fn device(&self) -> &Device { self.params[0].value.device() }
/// #     fn record(&self, inputs: &Inputs) -> Result<Graph, Error> {
/// #         let mut tape = Tape::new(self.device());
/// #         let w = tape.named_param("w", self.params[0].value.clone());
/// #         let x = tape.input(inputs.matched(&self.inputs)?[0].clone());
/// #         let y = tape.linear(x, w, None);
/// #         Graph::new(tape, y)
/// #     }
/// # }
/// # struct Set;
/// # impl Batches for Set {
/// #     fn len(&self) -> usize { 4 }
/// #     fn samples(&self) -> usize { 40 }
/// #     fn batch(&self, index: usize) -> Result<DataBatch, Error> {
/// #         let samples: Vec<usize> = (10 * index..10 * index + 10).collect();
/// #         let x = Rng::new(index as u64).normal(30);
/// #         let labels: Vec<usize> = samples.iter().map(|n| n % 2).collect();
/// #         let inputs = Tensor::from_vec(&Device::cpu_f64(), [10, 3], x)?.into();
/// #         Ok(DataBatch { inputs, targets: Labels::from(labels).into(), samples })
/// #     }
/// # }
/// # let value = Tensor::from_vec(&Device::cpu_f64(), [2, 3], Rng::new(9).normal(6))?;
/// # let model = Line {
/// #     inputs: [InputSpec::new("x")],
/// #     outputs: [OutputSpec::new("y")],
/// #     params: vec![Param { name: "w".into(), value }],
/// # };
/// # let batches = Set;
/// let loss = CrossEntropySpec::mean();
/// let data = DataGgn::new(&model, &loss, &batches)?;
/// let top = data.eigenpairs(2, &LanczosOptions::default())?;
/// let along = data.directional_derivatives(&data.unflatten(&top.eigenvectors)?)?;
/// // Of a mean, the average of λ over all samples is the eigenvalue.
/// let mean = (0..40).map(|n| along.lambdas[(n, 1)]).sum::<f64>() / 40.0;
/// assert!((mean - top.eigenvalues[1]).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DataGgn<'d> {
    model: &'d dyn Model,
    loss: &'d dyn LossSpec,
    batches: &'d dyn Batches,
    curvature: DataCurvature,
    params: Vec<ParamId>,
    /// The reduction's factor.
    a: f64,
    /// Of every batch.
    fingerprints: Vec<u64>,
    /// Passes over the data so far, the first included.
    passes: AtomicUsize,
}

impl<'d> DataGgn<'d> {
    /// Reads every batch once: counts what the mean divides by, and remembers what the data are.
    ///
    /// # Errors
    /// If there is no batch, a batch can't be read, numbers of samples do not go from 0 to N − 1,
    /// targets do not fit the loss, or there is nothing to average.
    pub fn new(
        model: &'d dyn Model,
        loss: &'d dyn LossSpec,
        batches: &'d dyn Batches,
    ) -> Result<Self, Error> {
        let (mut count, mut fingerprints) = (0.0, Vec::with_capacity(batches.len()));
        let mut seen = vec![false; batches.samples()];
        for index in 0..batches.len() {
            let inside = |error| Error::Batch { batch: index, source: Box::new(error) };
            let batch = batches.batch(index).map_err(|error| inside(error.into()))?;
            for &sample in &batch.samples {
                match seen.get_mut(sample) {
                    Some(seen) if !*seen => *seen = true,
                    _ => {
                        let samples = batches.samples();
                        return Err(inside(Error::SampleNumber { sample, samples }));
                    }
                }
            }
            count += loss.count(&batch.targets).map_err(|error| inside(error.into()))?;
            fingerprints.push(batch.fingerprint().map_err(|error| inside(error.into()))?);
        }
        if let Some(sample) = seen.iter().position(|seen| !seen) {
            return Err(Error::SampleNumber { sample, samples: batches.samples() });
        }
        if fingerprints.is_empty() || seen.is_empty() {
            return Err(Error::EmptyDataSet);
        }
        let a = match loss.reduction() {
            Reduction::Sum => 1.0,
            Reduction::Mean if count > 0.0 => 1.0 / count,
            Reduction::Mean => return Err(Error::NothingCounted { loss: loss.name().into() }),
        };
        let params = (0..model.params().len()).map(ParamId::new).collect();
        let passes = AtomicUsize::new(1);
        let curvature = DataCurvature::default();
        Ok(DataGgn { model, loss, batches, curvature, params, a, fingerprints, passes })
    }

    /// The same with another curvature matrix in products and eigenpairs.
    #[must_use]
    pub fn curvature(self, curvature: DataCurvature) -> Self {
        DataGgn { curvature, ..self }
    }

    /// The block of these parameters, in this order.
    ///
    /// # Errors
    /// If the model has fewer parameters, or one is given twice.
    pub fn params(mut self, params: impl Into<Vec<ParamId>>) -> Result<Self, Error> {
        let (params, known) = (params.into(), self.model.params());
        if params.is_empty() {
            return Err(Error::NoParameters);
        }
        for (at, param) in params.iter().enumerate() {
            let Some(of) = known.get(param.index()) else {
                let (param, known) = (*param, known.len());
                return Err(vivit_autodiff::Error::NoParameter { param, known }.into());
            };
            if params[..at].contains(param) {
                return Err(Error::ParameterTwice { name: of.name.clone() });
            }
        }
        self.params = params;
        Ok(self)
    }

    /// Number of samples N.
    pub fn samples(&self) -> usize {
        self.batches.samples()
    }

    /// Passes over the data so far.
    pub fn passes(&self) -> usize {
        self.passes.load(Ordering::Relaxed)
    }

    /// The loss over all samples.
    ///
    /// # Errors
    /// If a batch can't be read or changed, the model can't take it, or a number is not finite.
    pub fn loss(&self) -> Result<f64, Error> {
        let sum = self.tree_sum(|graph, loss, _| Ok(vec![graph.loss(loss)?]))?;
        Ok(sum[0])
    }

    /// The gradient over all samples, for the block's parameters.
    ///
    /// # Errors
    /// As [`loss`](DataGgn::loss).
    pub fn gradient(&self) -> Result<ParamMap<Tensor>, Error> {
        self.sum_of(|graph, loss| Ok(graph.backward(loss)?))
    }

    /// The sum over batches of arrays of the parameters' shapes, such as the diagonal of the GGN:
    /// `quantity` computes them for a batch's graph and its loss, which has the factor of the whole
    /// data set.
    ///
    /// # Errors
    /// As [`loss`](DataGgn::loss), and what `quantity` returns (as a [`ForeignError`]); always with
    /// the batch's number.
    pub fn sum<E: std::error::Error + Send + Sync + 'static>(
        &self,
        quantity: impl Fn(&Graph, &dyn Loss) -> Result<ParamMap<Tensor>, E>,
    ) -> Result<ParamMap<Tensor>, Error> {
        self.sum_of(|graph, loss| {
            let failed = |error| vivit_autodiff::Error::from(ForeignError::new(error));
            Ok(quantity(graph, loss).map_err(failed)?)
        })
    }

    fn sum_of(
        &self,
        quantity: impl Fn(&Graph, &dyn Loss) -> Result<ParamMap<Tensor>, Error>,
    ) -> Result<ParamMap<Tensor>, Error> {
        let sum = self.tree_sum(|graph, loss, _| {
            let found = quantity(graph, loss)?;
            self.flat(&found)
        })?;
        let rows = Tensor::from_vec(self.model.device(), [1, sum.len()], sum)?;
        let found = self.unflatten(&rows)?;
        Ok(found.map(|value| value.reshape(value.shape().tail())))
    }

    /// The product of the curvature matrix with K vectors in parameter format, `[K, *p]` per
    /// parameter of the block.
    ///
    /// # Errors
    /// As [`loss`](DataGgn::loss), and if a vector does not fit its parameter.
    pub fn multiply(&self, vectors: &ParamMap<Tensor>) -> Result<ParamMap<Tensor>, Error> {
        self.unflatten(&self.apply(&self.flatten(vectors)?)?)
    }

    /// The k leading eigenpairs of the curvature matrix, by Lanczos: one pass over the data per
    /// product with a block of vectors.
    ///
    /// # Errors
    /// As [`lanczos`] and [`loss`](DataGgn::loss).
    pub fn eigenpairs(
        &self,
        k: usize,
        options: &LanczosOptions,
    ) -> Result<LeadingEigenpairs, Error> {
        lanczos(self, k, options)
    }

    /// First and second derivatives of *every* sample's unreduced loss along K directions, `[K,
    /// *p]` per parameter, in one pass: row n is the sample of number n. Directions come from
    /// anywhere: this data set's eigenvectors, another one's, a step.
    ///
    /// # Errors
    /// As [`directional_derivatives_along`] and [`loss`](DataGgn::loss).
    pub fn directional_derivatives(
        &self,
        directions: &ParamMap<Tensor>,
    ) -> Result<DerivativesAlong, Error> {
        let s = self.unreduced();
        let k = directions.values().next().map_or(0, |e| e.shape().first().copied().unwrap_or(0));
        let mut all = [Matrix::zeros(self.samples(), k), Matrix::zeros(self.samples(), k)];
        self.each(|graph, loss, batch| {
            let reached = directions.iter().filter(|(param, _)| graph.check_param(*param).is_ok());
            let reached = reached.map(|(param, e)| (param, e.clone())).collect();
            let along = directional_derivatives_along(graph, loss, &reached)?;
            for (all, some) in all.iter_mut().zip([&along.gammas, &along.lambdas]) {
                for (row, &sample) in batch.samples.iter().enumerate() {
                    let scaled = some.row(row).iter().map(|x| s * x);
                    all.row_mut(sample).iter_mut().zip(scaled).for_each(|(to, x)| *to = x);
                }
            }
            Ok(())
        })?;
        let [gammas, lambdas] = all;
        Ok(DerivativesAlong { gammas, lambdas })
    }

    /// Vectors in parameter format as rows `[K, D]`.
    ///
    /// # Errors
    /// If there is not one for every parameter of the block, of its shape.
    pub fn flatten(&self, vectors: &ParamMap<Tensor>) -> Result<Tensor, Error> {
        let rows = self.params.iter().map(|&param| self.rows_of(vectors, param));
        Ok(Tensor::concat(&rows.collect::<Result<Vec<_>, _>>()?, 1))
    }

    /// Rows `[K, D]` as vectors in parameter format.
    ///
    /// # Errors
    /// If the shape is another one.
    pub fn unflatten(&self, rows: &Tensor) -> Result<ParamMap<Tensor>, Error> {
        check_vectors(rows, self.dim())?;
        let (k, columns) = (rows.shape()[0], rows.permute(&[1, 0]));
        let mut first = 0;
        let mut vectors = ParamMap::new();
        for &param in &self.params {
            let shape = self.shape_of(param);
            let part = columns.slice(first, first + shape.size()).permute(&[1, 0]);
            vectors.insert(param, part.reshape(shape.prefixed(&[k])));
            first += shape.size();
        }
        Ok(vectors)
    }

    fn shape_of(&self, param: ParamId) -> Shape {
        *self.model.params()[param.index()].value.shape()
    }

    /// A parameter's vectors as rows `[K, d]`.
    fn rows_of(&self, vectors: &ParamMap<Tensor>, param: ParamId) -> Result<Tensor, Error> {
        let (shape, known) = (self.shape_of(param), &self.model.params()[param.index()]);
        let Some(value) = vectors.get(param) else {
            return Err(Error::MissingVector { name: known.name.clone() });
        };
        let fits = value.shape().rank() == shape.rank() + 1 && value.shape()[1..] == shape[..];
        if !fits {
            let (expected, got) = (shape.to_vec(), value.shape().to_vec());
            let name = known.name.clone();
            return Err(vivit_autodiff::Error::TangentShape { name, expected, got }.into());
        }
        Ok(value.reshape([value.shape()[0], shape.size()]))
    }

    /// Arrays of the parameters' shapes, one after the other, in double precision; zeros for those
    /// that a graph does not have.
    fn flat(&self, found: &ParamMap<Tensor>) -> Result<Vec<f64>, Error> {
        let mut flat = Vec::with_capacity(self.dim());
        for &param in &self.params {
            match found.get(param) {
                Some(value) => flat.extend(value.to_vec()?),
                None => flat.resize(flat.len() + self.shape_of(param).size(), 0.0),
            }
        }
        Ok(flat)
    }

    /// The factor of the unreduced losses, `ℓ_n = s L_n`.
    fn unreduced(&self) -> f64 {
        match self.loss.reduction() {
            Reduction::Mean => self.samples() as f64,
            Reduction::Sum => 1.0,
        }
    }

    /// The sum over batches, in the fixed tree.
    fn tree_sum(
        &self,
        mut of: impl FnMut(&Graph, &dyn Loss, &DataBatch) -> Result<Vec<f64>, Error>,
    ) -> Result<Vec<f64>, Error> {
        let mut sum = TreeSum::default();
        self.each(|graph, loss, batch| {
            sum.push(of(graph, loss, batch)?);
            Ok(())
        })?;
        sum.finish().ok_or(Error::EmptyDataSet)
    }

    /// One pass: every batch's graph and its loss with the factor of the whole data set.
    fn each(
        &self,
        mut of: impl FnMut(&Graph, &dyn Loss, &DataBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for index in 0..self.batches.len() {
            let run = || -> Result<_, Error> {
                let batch = self.batches.batch(index)?;
                if batch.fingerprint()? != self.fingerprints[index] {
                    return Err(Error::DataChanged);
                }
                let loss = self.loss.bind(batch.targets.clone(), self.a)?;
                Ok((self.model.record(&batch.inputs)?, loss, batch))
            };
            let done = run().and_then(|(graph, loss, batch)| of(&graph, loss.as_ref(), &batch));
            done.map_err(|error| Error::Batch { batch: index, source: Box::new(error) })?;
        }
        self.passes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl LinearOperator for DataGgn<'_> {
    fn dim(&self) -> usize {
        self.params.iter().map(|&param| self.shape_of(param).size()).sum()
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        check_vectors(x, self.dim())?;
        let (k, vectors) = (x.shape()[0], self.unflatten(x)?);
        let sum = self.tree_sum(|graph, loss, _| {
            // What a graph does not reach takes no part in it.
            let reached: Vec<ParamId> =
                self.params.iter().copied().filter(|&p| graph.check_param(p).is_ok()).collect();
            let some = vectors.iter().filter(|(param, _)| reached.contains(param));
            let some = some.map(|(param, value)| (param, value.clone())).collect();
            let product = match self.curvature {
                DataCurvature::Ggn => CurvatureProduct::ggn(graph, loss),
                DataCurvature::Hessian => CurvatureProduct::hessian(graph, loss),
                DataCurvature::EmpiricalFisher => CurvatureProduct::empirical_fisher(graph, loss),
            };
            let product = product.params(reached).build()?.multiply(&some)?;
            let mut rows = Vec::with_capacity(x.len());
            for at in 0..k {
                rows.extend(self.flat(&product.map(|value| value.slice(at, at + 1)))?);
            }
            if self.curvature == DataCurvature::EmpiricalFisher {
                let s = self.unreduced();
                rows.iter_mut().for_each(|x| *x *= s);
            }
            Ok(rows)
        })?;
        Ok(Tensor::from_vec(self.model.device(), [k, self.dim()], sum)?)
    }
}
