//! What is sent backwards: seeds at the output, with every scale factor applied once, here.

use vivit_tensor::{Rng, Shape, Tensor};

use crate::{Error, FiniteCheck, Graph, Loss, LossHessian, PendingChecks, RootColumns};

/// Which square root S of the loss Hessian, `H_n = S_n S_nᵀ`, stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The exact one.
    Exact(RootColumns),
    /// `draws` Monte-Carlo columns with `E[S_n S_nᵀ] = H_n`.
    MonteCarlo {
        /// Number of columns M, at least 1.
        draws: usize,
        /// Seed of the draws; the same seed gives the same columns.
        seed: u64,
    },
}

impl Default for Root {
    fn default() -> Self {
        Root::Exact(RootColumns::default())
    }
}

/// What a probe sends backwards from the output.
#[derive(Clone, Debug)]
pub enum Seed {
    /// The gradient of each sample's share of the loss, one column: `∂L_n/∂f_n`.
    Gradient,
    /// A square root of the loss Hessian.
    Root(Root),
    /// The exact root of the loss Hessian, followed by the signed columns of every operation's
    /// second derivatives ([`Site::shares`](crate::Site::shares)): what adds up to the Hessian of
    /// the loss in the parameters.
    Hessian(RootColumns),
    /// Unit columns for the chosen outputs (of each sample, flattened), or for all: what comes back
    /// are rows of the Jacobian.
    Outputs(Option<Vec<usize>>),
    /// The user's own columns, `[V, N_S, *out]`.
    Columns(Tensor),
}

impl Seed {
    /// Whether the columns are computed from the loss.
    pub fn needs_loss(&self) -> bool {
        match self {
            Seed::Gradient | Seed::Root(_) | Seed::Hessian(_) => true,
            Seed::Outputs(_) | Seed::Columns(_) => false,
        }
    }
}

/// A seed and the samples that it concerns.
///
/// ```
/// # use vivit_autodiff::{Graph, Mse, Tape};
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// # let mut tape = Tape::new(&cpu);
/// # let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
/// # let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 2]));
/// # let y = tape.linear(x, w, None);
/// # let graph = Graph::new(tape, y)?;
/// # let w = graph.param_id(w)?;
/// # let loss = Mse::sum(Tensor::from_vec(&cpu, [2, 1], vec![1.0, -1.0])?);
/// // y = x·w at w = 0, with x = (1, 2) and (3, 4); squared errors against 1 and −1.
/// use vivit_autodiff::{Probe, Seed};
///
/// let gradient = Probe::new(Seed::Gradient).columns(&graph, &loss)?; // [V, N, *out]
/// assert_eq!(*gradient.shape(), [1, 2, 1]);
/// assert_eq!(gradient.to_vec()?, [-2.0, 2.0]);
/// let of_second = Probe::new(Seed::Gradient).of(Some(vec![1])).columns(&graph, &loss)?;
/// assert_eq!(of_second.to_vec()?, [2.0]);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Probe {
    /// What is sent.
    pub seed: Seed,
    /// The chosen samples, in this order; `None` for all.
    pub samples: Option<Vec<usize>>,
}

impl Probe {
    /// A probe of all samples.
    pub fn new(seed: Seed) -> Self {
        Probe { seed, samples: None }
    }

    /// The same probe of the chosen samples only. A Hessian root is scaled by `√(N/|S|)`, so that
    /// its GGN estimates the whole.
    #[must_use]
    pub fn of(mut self, samples: Option<Vec<usize>>) -> Self {
        self.samples = samples;
        self
    }

    /// Whether two probes are the same for certain, so that one of them suffices.
    pub fn same(&self, other: &Self) -> bool {
        self.samples == other.samples
            && match (&self.seed, &other.seed) {
                (Seed::Gradient, Seed::Gradient) => true,
                (Seed::Root(a), Seed::Root(b)) => a == b,
                (Seed::Hessian(a), Seed::Hessian(b)) => a == b,
                (Seed::Outputs(a), Seed::Outputs(b)) => a == b,
                _ => false,
            }
    }

    /// The probe's columns at the output, `[V, N_S, *out]`.
    ///
    /// # Errors
    /// If the samples, the targets or the columns do not fit, or a number is NaN or infinite.
    pub fn columns(&self, graph: &Graph, loss: &dyn Loss) -> Result<Tensor, Error> {
        let pending = Self::start_claims(std::slice::from_ref(self), graph, loss)?;
        let columns = self.pending_columns(graph, loss)?;
        pending.wait()?;
        Ok(columns)
    }

    /// As [`columns`](Probe::columns), without looking for NaN and infinities: for a second sweep
    /// of a graph and a loss that a first one has settled.
    ///
    /// # Errors
    /// If the samples, the targets or the columns do not fit.
    pub fn pending_columns(&self, graph: &Graph, loss: &dyn Loss) -> Result<Tensor, Error> {
        match &self.seed {
            Seed::Columns(columns) => self.given_columns(graph, columns),
            Seed::Outputs(outputs) => self.unsettled_units(graph, outputs.as_deref()),
            Seed::Gradient => {
                self.check(graph, loss)?;
                let gradient = loss.gradient(graph.value());
                check_shape(graph, loss, "gradient", gradient.shape())?;
                let gradient = gradient.reshape(gradient.shape().prefixed(&[1]));
                Ok(match &self.samples {
                    Some(samples) => gradient.index_select(1, samples),
                    None => gradient,
                })
            }
            Seed::Root(_) | Seed::Hessian(_) => Ok(self.pending_hessian(graph, loss)?.root()),
        }
    }

    /// `Σ_v s_v s_vᵀ` for the probe's columns `s_v` of every chosen sample, by its products; of a
    /// root of the loss's Hessian, that Hessian, without forming columns where the loss knows it in
    /// closed form.
    ///
    /// # Errors
    /// As [`columns`](Probe::columns).
    pub fn hessian(&self, graph: &Graph, loss: &dyn Loss) -> Result<LossHessian, Error> {
        let pending = Self::start_claims(std::slice::from_ref(self), graph, loss)?;
        let hessian = self.pending_hessian(graph, loss)?;
        pending.wait()?;
        Ok(hessian)
    }

    /// As [`hessian`](Probe::hessian), without looking for NaN and infinities.
    ///
    /// # Errors
    /// If the samples, the targets or the columns do not fit.
    pub fn pending_hessian(&self, graph: &Graph, loss: &dyn Loss) -> Result<LossHessian, Error> {
        let (hessian, what) = match &self.seed {
            Seed::Columns(_) | Seed::Outputs(_) | Seed::Gradient => {
                return Ok(LossHessian::from_root(self.pending_columns(graph, loss)?));
            }
            Seed::Root(Root::Exact(columns)) | Seed::Hessian(columns) => {
                self.check(graph, loss)?;
                (loss.hessian(graph.value(), *columns), "Hessian root")
            }
            Seed::Root(Root::MonteCarlo { draws, seed }) => {
                self.check(graph, loss)?;
                let root = loss.monte_carlo_root(graph.value(), *draws, &mut Rng::new(*seed))?;
                (LossHessian::from_root(root), "sampled root")
            }
        };
        check_shape(graph, loss, what, hessian.shape())?;
        let Some(samples) = &self.samples else { return Ok(hessian) };
        Ok(hessian.of(samples).scale(graph.samples() as f64 / samples.len() as f64))
    }

    /// Checks that samples, targets and number of draws fit.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, graph: &Graph, loss: &dyn Loss) -> Result<(), Error> {
        self.check_samples(graph.samples())?;
        if self.seed.needs_loss() {
            loss.check(graph.value())?;
        }
        match self.seed {
            Seed::Root(Root::MonteCarlo { draws: 0, .. }) => Err(Error::NoDraws),
            _ => Ok(()),
        }
    }

    /// Unit columns at the chosen outputs (of each sample, flattened), or at all: `[V, N_S, *out]`.
    /// No loss is needed for them.
    ///
    /// # Errors
    /// If the samples or the outputs do not fit, or a number is NaN or infinite.
    pub fn unit_columns(&self, graph: &Graph, outputs: Option<&[usize]>) -> Result<Tensor, Error> {
        let columns = self.unsettled_units(graph, outputs)?;
        graph.check_finite()?;
        Ok(columns)
    }

    fn unsettled_units(&self, graph: &Graph, outputs: Option<&[usize]>) -> Result<Tensor, Error> {
        let output = graph.value();
        self.check_samples(graph.samples())?;
        let shape = output.shape().tail();
        let (c, n) = (shape.size(), self.samples.as_ref().map_or(graph.samples(), Vec::len));
        let eye = Tensor::eye(output.device(), c);
        let chosen = match outputs {
            None => eye,
            Some([]) => return Err(Error::NoOutputs),
            Some(outputs) => match outputs.iter().find(|&&index| index >= c) {
                Some(&index) => return Err(Error::OutputOutOfRange { index, outputs: c }),
                None => eye.index_select(0, outputs),
            },
        };
        let v = chosen.shape()[0];
        Ok(chosen.reshape([v, 1, c]).broadcast([v, n, c]).reshape(shape.prefixed(&[v, n])))
    }

    /// The user's own columns, if they fit.
    pub(crate) fn given_columns(&self, graph: &Graph, columns: &Tensor) -> Result<Tensor, Error> {
        let n = graph.samples();
        self.check_samples(n)?;
        let chosen = self.samples.as_ref().map_or(n, Vec::len);
        let expected = graph.value().shape().tail().prefixed(&[chosen]);
        let got = columns.shape();
        if columns.device() != graph.tape().device() {
            return Err(graph.tape().other_device("the array of columns", columns));
        }
        if got.rank() != expected.rank() + 1 || got.tail() != expected || got[0] == 0 {
            return Err(Error::ColumnsShape { got: got.to_vec(), expected: expected.to_vec() });
        }
        Ok(columns.clone())
    }

    /// That the user's own columns are finite.
    pub(crate) fn own_claims(&self) -> Vec<FiniteCheck> {
        match &self.seed {
            Seed::Columns(columns) => vec![FiniteCheck::finite(columns, "the seed's columns")],
            Seed::Gradient | Seed::Root(_) | Seed::Hessian(_) | Seed::Outputs(_) => Vec::new(),
        }
    }

    /// Has the device look for NaN and infinities in all that goes into a sweep.
    pub(crate) fn start_claims<'g>(
        probes: &[Self],
        graph: &'g Graph,
        loss: &dyn Loss,
    ) -> Result<PendingChecks<'g>, Error> {
        for probe in probes {
            if let Seed::Columns(columns) = &probe.seed {
                probe.given_columns(graph, columns)?;
            }
        }
        let mut claims: Vec<FiniteCheck> = probes.iter().flat_map(Self::own_claims).collect();
        if probes.iter().any(|probe| probe.seed.needs_loss()) {
            let of_loss = loss.claims();
            // What lies on another device can't be looked at; the loss knows what it is.
            if of_loss.iter().any(|claim| claim.array().device() != graph.tape().device()) {
                loss.check(graph.value())?;
            }
            claims.extend(of_loss);
        }
        PendingChecks::whole(graph, claims)
    }

    pub(crate) fn check_samples(&self, n: usize) -> Result<(), Error> {
        let Some(samples) = &self.samples else { return Ok(()) };
        if samples.is_empty() {
            return Err(Error::NoSamples);
        }
        let mut seen = vec![false; n];
        for &index in samples {
            match seen.get_mut(index) {
                None => return Err(Error::SampleOutOfRange { index, samples: n }),
                Some(true) => return Err(Error::RepeatedSample { index }),
                Some(seen) => *seen = true,
            }
        }
        Ok(())
    }
}

/// Checks that what a loss has computed is of the output's shape.
fn check_shape(
    graph: &Graph,
    loss: &dyn Loss,
    what: &'static str,
    got: &Shape,
) -> Result<(), Error> {
    let expected = graph.value().shape();
    if got == expected {
        return Ok(());
    }
    let (got, expected) = (got.to_vec(), expected.to_vec());
    Err(Error::LossShape { loss: loss.name().into(), what, got, expected })
}
