//! The columns of V at the output.
//!
//! A root of the loss's Hessian has as many columns as the outputs of a sample, so V's columns take
//! memory of the square of these. They are made where they are needed, a slice at a time.

use std::ops::Range;

use vivit_autodiff::{Factor, LossHessian};
use vivit_tensor::{Matrix, Tensor};

use crate::Error;

/// A slice of V's rows: columns and positions among the chosen samples.
pub(crate) type Rows = (Range<usize>, Range<usize>);

/// The rows of a factor; all of it as it is.
pub(crate) fn part(factor: &Factor, (columns, samples): &Rows) -> Factor {
    if (columns.len(), samples.len()) == (factor.columns.shape()[0], factor.columns.shape()[1]) {
        return factor.clone();
    }
    let picked: Vec<usize> = samples.clone().collect();
    let rows = factor.columns.slice(columns.start, columns.end).index_select(1, &picked);
    Factor { columns: rows, samples: Some(chosen(factor.samples.as_deref(), samples)) }
}

/// The batch's samples at positions among the chosen ones.
fn chosen(all: Option<&[usize]>, positions: &Range<usize>) -> Vec<usize> {
    match all {
        Some(all) => all[positions.clone()].to_vec(),
        None => positions.clone().collect(),
    }
}

/// V's columns at the output, `[V, N_S, *out]`.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    hessian: LossHessian,
    /// The chosen samples; `None` for all.
    samples: Option<Vec<usize>>,
}

impl Roots {
    /// Those of a loss's Hessian for the chosen samples.
    pub fn new(hessian: LossHessian, samples: Option<Vec<usize>>) -> Self {
        Roots { hessian, samples }
    }

    /// Number of columns V.
    pub fn columns(&self) -> usize {
        self.hessian.columns()
    }

    /// Number of samples N_S.
    pub fn samples(&self) -> usize {
        self.hessian.shape()[0]
    }

    /// The chosen samples; `None` for all.
    pub fn chosen(&self) -> Option<&[usize]> {
        self.samples.as_deref()
    }

    /// All of them.
    pub fn whole(&self) -> Factor {
        Factor { columns: self.hessian.root(), samples: self.samples.clone() }
    }

    /// Some of them.
    pub fn part(&self, (columns, samples): &Rows) -> Factor {
        if (columns.len(), samples.len()) == (self.columns(), self.samples()) {
            return self.whole();
        }
        let picked: Vec<usize> = samples.clone().collect();
        Factor {
            columns: self.hessian.of(&picked).root_columns(columns.clone()),
            samples: Some(chosen(self.chosen(), samples)),
        }
    }

    /// `Σ_v S_n[:, v] w[v, n]` for each row w of `weights: [K, V·N_S]`: `[K, N_S, *out]`.
    pub fn combined(&self, weights: &Matrix<f64>) -> Result<Factor, Error> {
        let shape = [weights.rows(), self.columns(), self.samples()];
        let weights = Tensor::from_vec(self.hessian.device(), shape, weights.as_slice())?;
        let columns = self.hessian.root_product(&weights);
        Ok(Factor { columns, samples: self.samples.clone() })
    }
}
