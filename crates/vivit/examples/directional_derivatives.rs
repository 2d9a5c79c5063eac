//! Directional derivatives of every sample's loss along the leading GGN eigenvectors, beside two
//! independent computations.
//!
//! An MLP 7-5-5-3 with ReLU and mean squared error sees N = 4 samples. Along the K = 4 leading
//! eigenvectors e_k of its GGN,
//!
//! - first order: γ[n, k] = e_kᵀ ∇ℓ_n,
//! - second order: λ[n, k] = e_kᵀ G_n e_k, with G_n the GGN of ℓ_n.
//!
//! They are computed in f32 and f64 and compared with
//!
//! - the numbers that ViViT for PyTorch prints for the same parameters and data, in f32, to a
//!   relative 1e-4 in every number;
//! - a dense GGN that plain reverse mode builds column by column, in f64, to 1e-10 of the largest
//!   number of the direction.
//!
//! Run it with `cargo run --release --example directional_derivatives`; with `--features opencl`
//! and, at the end, `-- --device opencl[:DEVICE]` the library's numbers come from that device. It
//! fails if one number disagrees.

use std::process::ExitCode;

use vivit::DeviceChoice;
use vivit::eigh::eigh;
use vivit::nn::{Arrays, networks};
use vivit::prelude::*;

const K: usize = 4;
const PRINTED_TOLERANCE: f64 = 1e-4;
const DENSE_TOLERANCE: f64 = 1e-10;

fn main() -> Result<ExitCode, vivit::Error> {
    let device = match device(std::env::args().skip(1)) {
        Ok(device) => device.open(DType::F32)?,
        Err(reason) => {
            eprintln!("{reason}\n\nUsage: directional_derivatives [--device cpu|opencl[:DEVICE]]");
            return Ok(ExitCode::from(2));
        }
    };
    let data = Arrays::from_bytes(include_bytes!("../data/seed_demo.safetensors").to_vec())?;
    let printed = |name: &str| {
        Ok::<Matrix<f64>, vivit::Error>(data.tensor(name, &Device::cpu_f64())?.to_matrix()?)
    };
    let single = Problem::new(&device, &data)?.with_vivit()?;
    let double = Problem::new(&device.with_dtype(DType::F64)?, &data)?.with_vivit()?;
    let dense = Problem::new(&Device::cpu_f64(), &data)?.with_dense_ggn()?;
    let mut disagreements = 0;
    println!(
        "f32, f64: this library. ViViT, PyTorch: printed by ViViT for PyTorch. Dense: from the \
         definitions.\n"
    );

    // An eigenvector's sign is arbitrary: all follow those of the f64 numbers.
    let like = |gammas: &Matrix<f64>| aligned(gammas, &double.gammas);
    disagreements += table(
        "First order, γ[n, k] = e_kᵀ ∇ℓ_n",
        [&like(&single.gammas), &double.gammas],
        &[
            ("ViViT f32", like(&printed("printed/gammas_vivit")?)),
            ("PyTorch f32", like(&printed("printed/gammas_torch")?)),
        ],
        &like(&dense.gammas),
    );
    let lambdas = [("ViViT f32", printed("printed/lambdas_vivit")?)];
    disagreements += table(
        "Second order, λ[n, k] = e_kᵀ G_n e_k",
        [&single.lambdas, &double.lambdas],
        &lambdas,
        &dense.lambdas,
    );

    let [single_means, double_means] = [&single, &double].map(|of| means(&of.lambdas));
    let (printed_means, printed_values) =
        (printed("printed/mean_lambdas")?, printed("printed/eigenvalues")?);
    println!("Sample means of λ beside the eigenvalues: equal, because the loss is a mean\n");
    println!("{:>6}{:>26}{:>26}{:>35}{:>18}", "", "f32", "ViViT f32", "f64", "dense f64");
    println!("{:>6}{1:>13}{2:>13}{1:>13}{2:>13}{1:>18}{2:>18}{2:>18}", "k", "mean λ", "eigenvalue");
    for k in 0..K {
        let (mean, value) = (double_means[k], double.eigenvalues[k]);
        print!("{k:>6}{:>13.7}{:>13.7}", single_means[k], single.eigenvalues[k]);
        print!("{:>13.7}{:>13.7}", printed_means.as_slice()[k], printed_values.as_slice()[k]);
        print!("{mean:>18.13}{value:>18.13}{:>18.13}", dense.eigenvalues[k]);
        let agree = close(single_means[k], printed_means.as_slice()[k], PRINTED_TOLERANCE)
            && close(single.eigenvalues[k], printed_values.as_slice()[k], PRINTED_TOLERANCE)
            && [mean, value].iter().all(|&ours| close(ours, dense.eigenvalues[k], DENSE_TOLERANCE));
        println!("{}", if agree { "" } else { "  DISAGREE" });
        disagreements += usize::from(!agree);
    }

    if disagreements > 0 {
        println!("\n{disagreements} rows DISAGREE");
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "\nAll agree: f32 with the printed numbers to {PRINTED_TOLERANCE:e}, f64 with the dense \
         GGN to {DENSE_TOLERANCE:e}."
    );
    Ok(ExitCode::SUCCESS)
}

/// The device that the command line chooses.
fn device(mut args: impl Iterator<Item = String>) -> Result<DeviceChoice, String> {
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => Ok(DeviceChoice::Cpu),
        (Some(option @ ("--device" | "--backend")), Some(name), None) => {
            name.parse().map_err(|error| format!("{option}: {error}"))
        }
        (Some(other), ..) => {
            Err(format!("{other:?}: the only option is --device, with one name after it"))
        }
    }
}

/// The model, its data and its loss, in either precision.
struct Problem {
    model: Sequential,
    x: Tensor,
    y: Tensor,
}

/// What is compared: eigenvalues `[K]`, γ and λ `[N, K]`.
struct Derivatives {
    eigenvalues: Vec<f64>,
    gammas: Matrix<f64>,
    lambdas: Matrix<f64>,
}

impl Problem {
    fn new(device: &Device, data: &Arrays) -> Result<Self, vivit::Error> {
        let mut model = Sequential::new(device, networks::demo().layers, 0)?;
        for name in data.names() {
            if let Some(own) = name.strip_prefix("param/") {
                model.set_param(own, data.tensor(name, device)?)?;
            }
        }
        Ok(Problem { model, x: data.tensor("input", device)?, y: data.tensor("target", device)? })
    }

    /// The library's way: one sweep, a Gram matrix of 12 × 12, its eigenvectors.
    fn with_vivit(&self) -> Result<Derivatives, vivit::Error> {
        let graph = self.model.forward(&self.x)?;
        let loss = Mse::mean(self.y.clone());
        let DirectionalDerivatives { eigenvalues, gammas, lambdas, .. } =
            Ggn::new(&graph, &loss).directional_derivatives(top_k(K))?;
        Ok(Derivatives { eigenvalues, gammas, lambdas })
    }

    /// From the definitions, with nothing but backward passes: every sample's Jacobian and
    /// gradient, and the dense GGN, of which column i is `G e_i = Jᵀ(H J e_i)` with `H = 2/(N·C) ·
    /// I`.
    fn with_dense_ggn(&self) -> Result<Derivatives, vivit::Error> {
        let (n, c, d) = (self.y.shape()[0], self.y.shape()[1], self.model.num_params());
        let mut gradients = Vec::with_capacity(n);
        let mut jacobians = Vec::with_capacity(n);
        for sample in 0..n {
            let graph = self.model.forward(&self.x.slice(sample, sample + 1))?;
            let loss = Mse::mean(self.y.slice(sample, sample + 1));
            gradients.push(flat(graph.backward(&loss)?)?);
            let mut rows = Vec::with_capacity(c);
            for output in 0..c {
                let unit = (0..c).map(|at| f64::from(at == output)).collect();
                rows.push(pull_back(&graph, unit)?);
            }
            jacobians.push(rows);
        }

        let graph = self.model.forward(&self.x)?;
        let mut ggn = Matrix::zeros(d, d);
        for i in 0..d {
            let h_j_e =
                jacobians.iter().flatten().map(|row| 2.0 / (n * c) as f64 * row[i]).collect();
            ggn.row_mut(i).copy_from_slice(&pull_back(&graph, h_j_e)?);
        }
        let eigen = eigh(ggn)?;

        let e = |k: usize| eigen.vectors.row(d - K + k);
        let curvature = |sample: usize, k| {
            let j_e = jacobians[sample].iter().map(|row| dot(row, e(k)));
            j_e.map(|along| 2.0 / c as f64 * along * along).sum()
        };
        Ok(Derivatives {
            eigenvalues: eigen.values[d - K..].to_vec(),
            gammas: Matrix::from_fn(n, K, |sample, k| dot(&gradients[sample], e(k))),
            lambdas: Matrix::from_fn(n, K, curvature),
        })
    }
}

/// `Jᵀu`, the gradient of `Σ u·f` with f the graph's output: one backward pass.
fn pull_back(graph: &Graph, u: Vec<f64>) -> Result<Vec<f64>, vivit::Error> {
    let u = Tensor::from_vec(graph.tape().device(), graph.value().shape().prefixed(&[1]), u)?;
    flat(graph.vjp(&u)?)
}

/// All parameters' entries in one row.
fn flat(map: ParamMap<Tensor>) -> Result<Vec<f64>, vivit::Error> {
    let mut entries = Vec::new();
    for (_, part) in map {
        entries.extend(part.to_vec()?);
    }
    Ok(entries)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn column(matrix: &Matrix<f64>, k: usize) -> impl Iterator<Item = f64> {
    (0..matrix.rows()).map(move |n| matrix[(n, k)])
}

/// The mean of every column.
fn means(matrix: &Matrix<f64>) -> Vec<f64> {
    (0..matrix.cols()).map(|k| column(matrix, k).sum::<f64>() / matrix.rows() as f64).collect()
}

/// Whether `ours` is within `tolerance · |reference|` of the reference; NaN never is.
fn close(ours: f64, reference: f64, tolerance: f64) -> bool {
    (ours - reference).abs() <= tolerance * reference.abs()
}

/// `gammas` with every direction's sign chosen so that its largest number has the same sign as in
/// `reference`.
fn aligned(gammas: &Matrix<f64>, reference: &Matrix<f64>) -> Matrix<f64> {
    let sign = |k: usize| {
        let largest = (0..gammas.rows())
            .max_by(|&a, &b| reference[(a, k)].abs().total_cmp(&reference[(b, k)].abs()));
        largest.map_or(1.0, |n| (gammas[(n, k)] * reference[(n, k)]).signum())
    };
    Matrix::from_fn(gammas.rows(), K, |n, k| sign(k) * gammas[(n, k)])
}

/// Prints our f32 and f64 numbers beside the printed and the dense ones, and returns how many rows
/// disagree.
fn table(
    title: &str,
    [single, double]: [&Matrix<f64>; 2],
    printed: &[(&str, Matrix<f64>)],
    dense: &Matrix<f64>,
) -> usize {
    println!("{title}\n");
    print!("{:>3}{:>3}{:>13}", "n", "k", "f32");
    printed.iter().for_each(|(name, _)| print!("{name:>13}"));
    println!("{:>22}{:>22}", "f64", "dense f64");
    let mut disagreements = 0;
    for n in 0..double.rows() {
        for k in 0..K {
            print!("{n:>3}{k:>3}{:>13.7}", single[(n, k)]);
            let mut agree = true;
            for (_, printed) in printed {
                print!("{:>13.7}", printed[(n, k)]);
                agree &= close(single[(n, k)], printed[(n, k)], PRINTED_TOLERANCE);
            }
            let scale = column(dense, k).fold(0.0, |max: f64, x| max.max(x.abs()));
            agree &= (double[(n, k)] - dense[(n, k)]).abs() <= DENSE_TOLERANCE * scale;
            println!(
                "{:>22.16}{:>22.16}{}",
                double[(n, k)],
                dense[(n, k)],
                if agree { "" } else { "  DISAGREE" }
            );
            disagreements += usize::from(!agree);
        }
    }
    println!();
    disagreements
}
