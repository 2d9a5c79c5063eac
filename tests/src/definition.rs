//! Dense definitions of everything, from forward passes and finite differences alone.
//!
//! Derivatives come from a four-point stencil, `f′ ≈ (8 (f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) /
//! 12h`. With h = 5·10⁻⁴ truncation (h⁴/30 times the fifth derivative) and rounding (ε/h) both stay
//! near 10⁻¹³ of the function's scale.

use vivit::autodiff::{Graph, ParamMap};
use vivit::tensor::{DType, Matrix, Tensor};

use crate::zoo::{Problem, host};

const STEP: f64 = 5e-4;
/// What a first derivative by the stencil may be off by, relative to the scale of what it is
/// compared with (networks' fifth derivatives are a few hundred times their first), or what single
/// precision may be off by.
pub(crate) fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-9 } else { 1e-4 }
}

/// `f′` along one coordinate; `f(offset)` returns the values at that distance.
pub(crate) fn stencil(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let [near, far] = [1.0, 2.0].map(|k| {
        let (right, left) = (f(k * STEP), f(-k * STEP));
        right.iter().zip(&left).map(|(r, l)| r - l).collect::<Vec<f64>>()
    });
    near.iter().zip(&far).map(|(near, far)| (8.0 * near - far) / (12.0 * STEP)).collect()
}

/// The entries of some of a problem's parameters in one row.
pub(crate) struct Flat<'p> {
    pub problem: &'p Problem,
    /// Parameter and entry of each coordinate.
    pub coordinates: Vec<(usize, usize)>,
}

impl<'p> Flat<'p> {
    pub fn new(problem: &'p Problem, params: &[usize]) -> Self {
        let entries =
            |&param: &usize| (0..problem.params[param].len()).map(move |entry| (param, entry));
        Flat { problem, coordinates: params.iter().flat_map(entries).collect() }
    }

    /// The graph with one coordinate moved.
    pub fn moved(&self, coordinate: usize, offset: f64) -> Graph {
        let (param, entry) = self.coordinates[coordinate];
        let mut params = self.problem.params.clone();
        let mut values = params[param].to_vec().expect("host memory");
        values[entry] += offset;
        params[param] =
            Tensor::from_vec(&host(), params[param].shape(), values).expect("same shape");
        self.problem.graph(&params)
    }

    /// A result per parameter (with `lead` numbers of every entry in front) as rows `[lead, D]`.
    pub fn gather(&self, graph: &Graph, map: &ParamMap<Tensor>, lead: usize) -> Vec<Vec<f64>> {
        let vars = graph.params();
        let flat: Vec<Vec<f64>> =
            vars.iter().map(|&var| map.get(var).map_or_else(Vec::new, doubles)).collect();
        let entry = |row: usize, &(param, entry): &(usize, usize)| {
            flat[param][row * flat[param].len() / lead + entry]
        };
        (0..lead).map(|row| self.coordinates.iter().map(|at| entry(row, at)).collect()).collect()
    }
}

/// An array's entries on the host.
pub(crate) fn doubles(array: &Tensor) -> Vec<f64> {
    array.to_vec().expect("the device works")
}

/// Dense Jacobians, Hessians, gradients of a problem in some of its parameters.
pub(crate) struct Dense {
    pub n: usize,
    /// `jacobian[d][n·C + c] = ∂f[n, c]/∂θ_d`
    pub jacobian: Vec<Vec<f64>>,
    /// `∂L_n/∂θ_d` as `[d][n]`
    gradients: Vec<Vec<f64>>,
    /// `hessians[n][c][c′]`
    pub hessians: Vec<Vec<Vec<f64>>>,
}

impl Dense {
    pub fn new(flat: &Flat<'_>) -> Self {
        let problem = flat.problem;
        let graph = problem.graph(&problem.params);
        let (n, shape) = (graph.samples(), graph.value().shape().to_vec());
        let c = graph.value().len() / n;
        let output = graph.value().to_vec().expect("host memory");
        let all = 0..flat.coordinates.len();
        let outputs = |d: usize| {
            stencil(|offset| flat.moved(d, offset).value().to_vec().expect("host memory"))
        };
        let losses = |d: usize| {
            stencil(|offset| {
                flat.moved(d, offset).losses(problem.loss.as_ref()).expect("targets fit")
            })
        };
        // The Hessian's column c of every sample at once: samples do not see each other.
        let column = |c_moved: usize| {
            stencil(|offset| {
                let moved: Vec<f64> = output
                    .iter()
                    .enumerate()
                    .map(|(at, x)| if at % c == c_moved { x + offset } else { *x })
                    .collect();
                let moved = Tensor::from_vec(&host(), &shape, moved).expect("same shape");
                problem.loss.gradient(&moved).to_vec().expect("host memory")
            })
        };
        let columns: Vec<Vec<f64>> = (0..c).map(column).collect();
        let hessian =
            |n: usize| (0..c).map(|i| (0..c).map(|j| columns[j][n * c + i]).collect()).collect();
        Dense {
            n,
            jacobian: all.clone().map(outputs).collect(),
            gradients: all.map(losses).collect(),
            hessians: (0..n).map(hessian).collect(),
        }
    }

    pub fn gradient(&self, samples: &[usize]) -> Vec<Vec<f64>> {
        samples.iter().map(|&n| self.gradients.iter().map(|g| g[n]).collect()).collect()
    }

    /// `J_nᵀ H_n J_n`, `[D, D]`.
    pub fn ggn_of(&self, n: usize) -> Matrix<f64> {
        let (c, d) = (self.hessians[n].len(), self.jacobian.len());
        let j = |d: usize, i: usize| self.jacobian[d][n * c + i];
        let half = Matrix::from_fn(c, d, |i, d| {
            (0..c).map(|k| self.hessians[n][i][k] * j(d, k)).sum::<f64>()
        });
        Matrix::from_fn(d, d, |a, b| (0..c).map(|i| j(a, i) * half[(i, b)]).sum())
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
