//! Spectral densities from Lanczos quadrature, on a linear and on a logarithmic axis.

use std::f64::consts::TAU;

use crate::{Error, LanczosQuadrature, Node};

vivit_tensor::options! {
    /// How a density is drawn on a linear axis.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct DensityOptions {
        /// Points of the grid; at least 2. Default: 1024.
        pub points: usize = 1024,
        /// Narrows the bumps, above 1; see [`LanczosQuadrature::density`]. Default: 3.
        pub kappa: f64 = 3.0,
        /// What the grid adds to either side of the boundaries, relative to their distance.
        /// Default: 0.05.
        pub margin: f64 = 0.05,
        /// The smallest and the largest eigenvalue, if known. Default: found by the quadrature's
        /// runs.
        pub boundaries: Option<(f64, f64)> = None,
    }
}

vivit_tensor::options! {
    /// How a density is drawn on a logarithmic axis.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct LogDensityOptions {
        /// Points of the grid; at least 2. Default: 1024.
        pub points: usize = 1024,
        /// Narrows the bumps, above 1; see [`LanczosQuadrature::density`]. Default: 1.04.
        pub kappa: f64 = 1.04,
        /// What the grid adds to either side of the boundaries, relative to the distance of their
        /// logarithms. Default: 0.05.
        pub margin: f64 = 0.05,
        /// The smallest and the largest magnitude of an eigenvalue, if known. Default: found by the
        /// quadrature's runs.
        pub boundaries: Option<(f64, f64)> = None,
        /// Is added to magnitudes, so that zero has a logarithm. Default: 1e-5.
        pub epsilon: f64 = 1e-5,
    }
}

/// A spectral density on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralDensity {
    /// The points λ, ascending: evenly spaced, or with evenly spaced logarithms.
    pub grid: Vec<f64>,
    /// The density p(λ) per unit of λ: `∫ p(λ) dλ = 1` over all λ, of which the grid shows a part.
    pub density: Vec<f64>,
    /// The smallest and largest eigenvalue (or magnitude of one) that the grid is laid around.
    pub boundaries: (f64, f64),
    /// Standard deviation of a bump, in λ or, on a logarithmic axis, in ln λ.
    pub width: f64,
    /// Whether the axis is logarithmic.
    pub logarithmic: bool,
}

impl SpectralDensity {
    /// The density per unit of ln λ, `λ p(λ)`: what a logarithmic axis shows with areas that are
    /// shares of the spectrum.
    pub fn per_log(&self) -> Vec<f64> {
        self.grid.iter().zip(&self.density).map(|(x, p)| x * p).collect()
    }

    /// The share of the spectrum that the grid shows, by the trapezoidal rule on its axis: 1, less
    /// what the bumps have beyond the ends.
    pub fn mass(&self) -> f64 {
        let (axis, density) = if self.logarithmic {
            (self.grid.iter().map(|x| x.ln()).collect(), self.per_log())
        } else {
            (self.grid.clone(), self.density.clone())
        };
        let pairs = axis.windows(2).zip(density.windows(2));
        pairs.map(|(x, p)| 0.5 * (x[1] - x[0]) * (p[0] + p[1])).sum()
    }
}

impl LanczosQuadrature {
    /// The spectral density `p(λ) = 1/D Σ_i δ(λ − λ_i)` on a linear axis, every point of the
    /// quadrature drawn as a Gaussian bump (Papyan, *Traces of class/cross-class structure pervade
    /// deep learning spectra*, JMLR 21, 2020, algorithm 2):
    ///
    /// ```text
    /// p(λ) = 1/R Σ_r Σ_l ω_rl N(λ; θ_rl, (σ d)²)      d = (1 + 2 margin) (λ_max − λ_min) / 2
    /// σ = 2 / (m − 1) / √(8 ln κ)
    /// ```
    ///
    /// with m the [`vectors`](crate::QuadratureOptions::vectors) asked for. On the axis that is
    /// scaled to [−1, 1] m evenly spread points are `h = 2/(m − 1)` apart, and σ is such that a
    /// bump has fallen by the factor κ at the distance `h/2`: `exp(−(h/2)²/(2σ²)) = 1/κ`.
    ///
    /// Unless they are given, the boundaries are a run's outermost Ritz values, moved outwards by
    /// their residual norms; of several runs the narrowest that contain all Ritz values. This needs
    /// no products. An operator that is a multiple of the identity gets a grid of the width of that
    /// multiple.
    ///
    /// p integrates to 1 over all λ. Its mean is the quadrature's mean, whose expectation is `tr A
    /// / D`; its second moment has the expectation `tr A² / D + (σ d)²`.
    ///
    /// ```
    /// use vivit_curvature::{DensityOptions, LanczosQuadrature, QuadratureOptions};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// // Eigenvalues 1 and 3.
    /// let a = Tensor::from_vec(&Device::cpu_f64(), [2, 2], [2.0, 1.0, 1.0, 2.0])?;
    /// let points = LanczosQuadrature::new(&a, &QuadratureOptions::default())?;
    /// let spectrum = points.density(&DensityOptions::default())?;
    /// let (low, high) = spectrum.boundaries;
    /// assert!((low - 1.0).abs() < 1e-12 && (high - 3.0).abs() < 1e-12);
    /// assert!((spectrum.mass() - 1.0).abs() < 1e-3);
    /// # Ok::<(), vivit_curvature::Error>(())
    /// ```
    ///
    /// # Errors
    /// If an option is out of range.
    pub fn density(&self, options: &DensityOptions) -> Result<SpectralDensity, Error> {
        let DensityOptions { points, kappa, margin, boundaries } = *options;
        check(points, kappa, margin)?;
        check_boundaries(boundaries, f64::NEG_INFINITY)?;
        let boundaries = boundaries.unwrap_or_else(|| {
            let low = -outermost(
                self.runs
                    .iter()
                    .filter_map(|run| run.first())
                    .map(|node| (-node.value, node.residual)),
            );
            let high = outermost(
                self.runs
                    .iter()
                    .filter_map(|run| run.last())
                    .map(|node| (node.value, node.residual)),
            );
            let size = low.abs().max(high.abs());
            if high - low > self.rounding * size { (low, high) } else { around(low, high, size) }
        });
        let bumps = self.bumps(boundaries, points, kappa, margin, |node| node.value);
        let Bumps { axis: grid, heights: density, width } = bumps;
        Ok(SpectralDensity { grid, density, boundaries, width, logarithmic: false })
    }

    /// The density of the magnitudes of eigenvalues on a logarithmic axis: of `|A| + ε I` at λ
    /// (Papyan 2020, section C.7).
    ///
    /// Bumps are Gaussian in `t = ln λ`, with `t_rl = ln(|θ_rl| + ε)` and σ, d as in
    /// [`density`](Self::density) for the boundaries `ln(λ_min + ε)` and `ln(λ_max + ε)`:
    ///
    /// ```text
    /// p(λ) = 1/λ · 1/R Σ_r Σ_l ω_rl N(ln λ; t_rl, (σ d)²)
    /// ```
    ///
    /// so that `∫ p(λ) dλ = ∫ λ p(λ) d ln λ = 1`; [`per_log`](SpectralDensity::per_log) has the
    /// second integrand. Unless they are given, the boundaries are found as there, from magnitudes
    /// of Ritz values; the lower one is 0 if a residual norm reaches so far.
    ///
    /// ```
    /// use vivit_curvature::{LanczosQuadrature, LogDensityOptions, QuadratureOptions};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let a = Tensor::from_vec(&Device::cpu_f64(), &[2, 2], &[1e-3, 0.0, 0.0, 1.0])?;
    /// let points = LanczosQuadrature::new(&a, &QuadratureOptions::default())?;
    /// let spectrum = points.log_density(&LogDensityOptions::default())?;
    /// assert!((spectrum.mass() - 1.0).abs() < 1e-2);
    /// # Ok::<(), vivit_curvature::Error>(())
    /// ```
    ///
    /// # Errors
    /// If an option is out of range.
    pub fn log_density(&self, options: &LogDensityOptions) -> Result<SpectralDensity, Error> {
        let LogDensityOptions { points, kappa, margin, boundaries, epsilon } = *options;
        check(points, kappa, margin)?;
        check_boundaries(boundaries, 0.0)?;
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(Error::InvalidOption {
                name: "epsilon",
                value: epsilon,
                allowed: "positive and finite".into(),
            });
        }
        let boundaries = boundaries.unwrap_or_else(|| {
            let magnitudes = |run: &Vec<Node>, sign: f64| {
                let each = run.iter().map(move |node| (sign * node.value.abs(), node.residual));
                each.max_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1))).unwrap_or_default()
            };
            let low = -outermost(self.runs.iter().map(|run| magnitudes(run, -1.0)));
            let high = outermost(self.runs.iter().map(|run| magnitudes(run, 1.0)));
            let low = self
                .runs
                .iter()
                .flatten()
                .map(|node| node.value.abs())
                .fold(low.max(0.0), f64::min);
            (low, high)
        });
        let (mut low, mut high) = ((boundaries.0 + epsilon).ln(), (boundaries.1 + epsilon).ln());
        if high - low <= self.rounding {
            (low, high) = around(low, high, 1.0);
        }
        let bumps = self
            .bumps((low, high), points, kappa, margin, |node| (node.value.abs() + epsilon).ln());
        let grid: Vec<f64> = bumps.axis.iter().map(|t| t.exp()).collect();
        let density = bumps.heights.iter().zip(&grid).map(|(height, x)| height / x).collect();
        Ok(SpectralDensity { grid, density, boundaries, width: bumps.width, logarithmic: true })
    }

    /// Weighted Gaussian bumps around `place` of every node, on an even grid around the boundaries.
    fn bumps(
        &self,
        (low, high): (f64, f64),
        points: usize,
        kappa: f64,
        margin: f64,
        place: impl Fn(&Node) -> f64,
    ) -> Bumps {
        let (low, high) = (low - margin * (high - low), high + margin * (high - low));
        let sigma = 2.0 / (self.vectors - 1) as f64 / (8.0 * kappa.ln()).sqrt();
        let width = sigma * 0.5 * (high - low);
        let step = (high - low) / (points - 1) as f64;
        let axis: Vec<f64> = (0..points)
            .map(|i| if i + 1 == points { high } else { low + i as f64 * step })
            .collect();
        let scale = (self.runs.len() as f64 * width * TAU.sqrt()).recip();
        let nodes: Vec<(f64, f64)> =
            self.runs.iter().flatten().map(|node| (place(node), scale * node.weight)).collect();
        let height = |x: &f64| {
            nodes
                .iter()
                .map(|(at, weight)| weight * (-0.5 * ((x - at) / width).powi(2)).exp())
                .sum()
        };
        let heights = axis.iter().map(height).collect();
        Bumps { axis, heights, width }
    }
}

/// An upper boundary from Ritz values and residual norms of several runs: no eigenvalue that a run
/// has seen lies beyond its value plus its residual norm, and the smallest such number is taken,
/// but none below a value.
fn outermost(ends: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut value, mut bound) = (f64::NEG_INFINITY, f64::INFINITY);
    for (end, residual) in ends {
        value = value.max(end);
        bound = bound.min(end + residual);
    }
    value.max(bound)
}

/// A sum of bumps on its axis.
struct Bumps {
    axis: Vec<f64>,
    heights: Vec<f64>,
    width: f64,
}

/// An interval of length `size` (1 if that is 0) around an interval without length.
fn around(low: f64, high: f64, size: f64) -> (f64, f64) {
    let (center, half) = (0.5 * (low + high), if size > 0.0 { 0.5 * size } else { 0.5 });
    (center - half, center + half)
}

fn check(points: usize, kappa: f64, margin: f64) -> Result<(), Error> {
    let invalid = |name, value, allowed: &str| {
        Err(Error::InvalidOption { name, value, allowed: allowed.into() })
    };
    if points < 2 {
        return invalid("points", points as f64, "at least 2");
    }
    if !(kappa > 1.0 && kappa.is_finite()) {
        return invalid("kappa", kappa, "above 1 and finite");
    }
    if !(margin >= 0.0 && margin.is_finite()) {
        return invalid("margin", margin, "at least 0 and finite");
    }
    Ok(())
}

fn check_boundaries(boundaries: Option<(f64, f64)>, least: f64) -> Result<(), Error> {
    let Some((low, high)) = boundaries else { return Ok(()) };
    if !low.is_finite() || low < least {
        let allowed =
            if least.is_finite() { "finite, and at least 0 for magnitudes" } else { "finite" };
        return Err(Error::InvalidOption {
            name: "lower boundary",
            value: low,
            allowed: allowed.into(),
        });
    }
    if !(high > low && high.is_finite()) {
        let allowed = format!("finite and above the lower boundary, {low}");
        return Err(Error::InvalidOption { name: "upper boundary", value: high, allowed });
    }
    Ok(())
}
