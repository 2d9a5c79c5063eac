//! Up- and down-sampling of the last axes, as ONNX's `Resize` and `torch.nn.functional.interpolate`
//! do it.

use super::resample::{AxisMap, Resample};
use crate::{Tape, Var};

/// Which position of the argument's axis an entry of the result's stands for. With lengths `from`
/// and `to`, and `scale = to/from` unless it is given:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coordinates {
    /// `(o + ½)/scale − ½`: entries are pixels with areas (`align_corners=False`).
    #[default]
    HalfPixel,
    /// As `HalfPixel`, but 0 where the result has one entry.
    PytorchHalfPixel,
    /// `o (from − 1)/(scale·from − 1)`: the first and the last entries are aligned.
    AlignCorners,
    /// `o/scale`.
    Asymmetric,
}

/// Which entry is nearest to a position between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nearest {
    /// The nearer one, the first of two that are equally near.
    #[default]
    RoundPreferFloor,
    /// The nearer one, the second of two that are equally near.
    RoundPreferCeil,
    /// The first.
    Floor,
    /// The second.
    Ceil,
}

/// How an entry is made of those around its position.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Interpolation {
    /// A copy of one.
    Nearest(Nearest),
    /// Of the two around it, by their distances.
    Linear,
    /// Of the four around it, by the cubic convolution kernel with parameter a (Keys 1981; −0.75 in
    /// PyTorch and ONNX, −0.5 in others).
    Cubic(f64),
}

vivit_tensor::options! {
    /// How axes are resized.
    #[derive(Clone, Debug, PartialEq)]
    pub struct ResizeOptions {
        /// How an entry is made of those around its position. Default: `Linear`.
        pub interpolation: Interpolation = Interpolation::Linear,
        /// Which position an entry stands for. Default: `HalfPixel`.
        pub coordinates: Coordinates = Coordinates::HalfPixel,
        /// Scales of the axes that positions are computed with, where they are not the ratios of
        /// the lengths. Default: `None`.
        pub scales: Option<Vec<f64>> = None,
    }
}

impl Coordinates {
    fn position(self, o: usize, [from, to]: [usize; 2], scale: f64) -> f64 {
        let (o, from) = (o as f64, from as f64);
        match self {
            Coordinates::PytorchHalfPixel if to <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if to <= 1 => 0.0,
            Coordinates::AlignCorners => o * (from - 1.0) / (scale * from - 1.0),
            Coordinates::Asymmetric => o / scale,
        }
    }
}

impl Nearest {
    fn round(self, x: f64) -> f64 {
        match self {
            Nearest::RoundPreferFloor => (x - 0.5).ceil(),
            Nearest::RoundPreferCeil => (x + 0.5).floor(),
            Nearest::Floor => x.floor(),
            Nearest::Ceil => x.ceil(),
        }
    }
}

impl Interpolation {
    /// The entries around position x and their weights; those beyond the ends count for the ends.
    fn terms(self, x: f64, from: usize) -> Vec<(usize, f64)> {
        let inside = |at: f64| at.clamp(0.0, from.saturating_sub(1) as f64) as usize;
        let (base, t) = (x.floor(), x - x.floor());
        let weights: Vec<(f64, f64)> = match self {
            Interpolation::Nearest(nearest) => vec![(nearest.round(x), 1.0)],
            Interpolation::Linear => vec![(base, 1.0 - t), (base + 1.0, t)],
            Interpolation::Cubic(a) => (-1..=2)
                .map(|at| (base + f64::from(at), cubic(a, (t - f64::from(at)).abs())))
                .collect(),
        };
        let mut terms: Vec<(usize, f64)> = Vec::with_capacity(weights.len());
        for (at, weight) in weights.into_iter().filter(|&(_, weight)| weight != 0.0) {
            match terms.last_mut() {
                Some((last, sum)) if *last == inside(at) => *sum += weight,
                _ => terms.push((inside(at), weight)),
            }
        }
        terms
    }
}

/// The cubic convolution kernel at distance d (Keys, *Cubic convolution interpolation for digital
/// image processing*, 1981, equation 4 with parameter a).
fn cubic(a: f64, d: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((d - 5.0) * d + 8.0) * d * a - 4.0 * a
    } else {
        0.0
    }
}

impl Tape {
    /// The last `output.len()` axes resized to these lengths, one after the other: nearest, linear
    /// (bilinear, trilinear) or cubic interpolation.
    ///
    /// ```
    /// use vivit_autodiff::{Tape, ops::ResizeOptions};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 1, 2], vec![0.0, 4.0])?);
    /// let y = tape.resize(x, &[4], &ResizeOptions::default());
    /// assert_eq!(tape.value(y).to_vec()?, [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are fewer axes (samples apart), an axis is empty, or the number of scales differs.
    #[track_caller]
    pub fn resize(&mut self, x: Var, output: &[usize], options: &ResizeOptions) -> Var {
        let shape = *self.value(x).shape();
        let axes = shape.rank() - usize::from(self.is_batched(x));
        let ResizeOptions { interpolation, coordinates, ref scales } = *options;
        assert!(
            output.len() <= axes && scales.as_ref().is_none_or(|s| s.len() == output.len()),
            "resize of {shape} to {output:?} with scales {scales:?}"
        );
        let input = &shape[shape.rank() - output.len()..];
        assert!(!input.contains(&0), "resize of {shape}: an axis is empty");
        let map = |(at, (&from, &to)): (usize, (&usize, &usize))| {
            let given = scales.as_ref().map(|scales| scales[at]);
            let scale = given.unwrap_or(to as f64 / from as f64);
            AxisMap::new([from, to], |o| {
                interpolation.terms(coordinates.position(o, [from, to], scale), from)
            })
        };
        let maps = input.iter().zip(output).enumerate().map(map).collect();
        self.record(Resample::new("resize", maps), &[x])
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Rng, Tensor};

    use super::*;
    use crate::check::check_derivatives;

    fn resized(x: &[f64], to: usize, options: &ResizeOptions) -> Vec<f64> {
        let cpu = Device::cpu_f64();
        let mut tape = Tape::new(&cpu);
        let x = tape.input(Tensor::from_vec(&cpu, [1, x.len()], x.to_vec()).unwrap());
        let y = tape.resize(x, &[to], options);
        tape.value(y).to_vec().unwrap()
    }

    #[track_caller]
    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        let near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{got:?} for {expected:?}");
    }

    /// Of one axis, what the examples in ONNX's specification of `Resize` (version 19) have.
    #[test]
    fn values_are_onnx_s() {
        let options = ResizeOptions::default;
        let nearest = |mode| options().interpolation(Interpolation::Nearest(mode));
        // `resize_upsample_scales_linear`, first row; `…_align_corners`.
        assert_close(&resized(&[1.0, 2.0], 4, &options()), &[1.0, 1.25, 1.75, 2.0]);
        let corners = options().coordinates(Coordinates::AlignCorners);
        assert_close(&resized(&[1.0, 2.0], 4, &corners), &[1.0, 4.0 / 3.0, 5.0 / 3.0, 2.0]);
        // `resize_downsample_scales_linear`: scale 0.6 of four entries.
        let scaled = options().scales(Some(vec![0.6]));
        assert_close(&resized(&[1.0, 2.0, 3.0, 4.0], 2, &scaled), &[1.333_333_3, 3.0]);
        // Nearest: an upsampled pixel of scale 2, and the four ways to round a half.
        let asymmetric = |mode| nearest(mode).coordinates(Coordinates::Asymmetric);
        assert_close(&resized(&[1.0, 2.0], 4, &asymmetric(Nearest::Floor)), &[1.0, 1.0, 2.0, 2.0]);
        assert_close(&resized(&[1.0, 2.0], 4, &asymmetric(Nearest::Ceil)), &[1.0, 2.0, 2.0, 2.0]);
        for (mode, expected) in [
            (Nearest::RoundPreferFloor, [1.0, 1.0, 2.0, 2.0]),
            (Nearest::RoundPreferCeil, [1.0, 2.0, 2.0, 2.0]),
        ] {
            assert_close(&resized(&[1.0, 2.0], 4, &asymmetric(mode)), &expected);
        }
    }

    /// `resize_upsample_scales_cubic` in ONNX's specification: 1, …, 16 in four rows, twice as
    /// large.
    #[test]
    fn cubic_values_are_onnx_s() {
        let cpu = Device::cpu_f64();
        let mut tape = Tape::new(&cpu);
        let numbers: Vec<f64> = (1..=16).map(f64::from).collect();
        let x = tape.input(Tensor::from_vec(&cpu, [1, 4, 4], numbers).unwrap());
        let cubic = ResizeOptions::default().interpolation(Interpolation::Cubic(-0.75));
        let y = tape.resize(x, &[8, 8], &cubic);
        let first_row = [
            0.47265625, 0.76953125, 1.24609375, 1.875, 2.28125, 2.91015625, 3.38671875, 3.68359375,
        ];
        assert_close(&tape.value(y).to_vec().unwrap()[..8], &first_row);
    }

    #[test]
    fn derivatives_hold() {
        let cpu = Device::cpu_f64();
        let input = [2, 3, 5];
        let x = Tensor::from_vec(&cpu, [2, 2, 3, 5], Rng::new(3).normal(60)).unwrap();
        let methods = [
            Interpolation::Linear,
            Interpolation::Cubic(-0.75),
            Interpolation::Nearest(Nearest::Floor),
        ];
        for (interpolation, output) in methods
            .into_iter()
            .flat_map(|method| [[2, 6, 7], [1, 2, 3], [3, 1, 5]].map(|output| (method, output)))
        {
            let map = |(&from, &to): (&usize, &usize)| {
                let scale = to as f64 / from as f64;
                let at = |o| Coordinates::HalfPixel.position(o, [from, to], scale);
                AxisMap::new([from, to], |o| interpolation.terms(at(o), from))
            };
            let maps = input.iter().zip(&output).map(map).collect();
            let op = Resample::new("resize", maps);
            for batched in [true, false] {
                let checks = check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5);
                for check in checks.unwrap() {
                    assert!(check.passed(), "{interpolation:?} to {output:?}: {check}");
                }
            }
        }
    }
}
