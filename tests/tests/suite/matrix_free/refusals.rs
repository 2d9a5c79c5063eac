//! Operators and options that are none: errors that name them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use vivit::curvature::{
    DensityOptions, Error, LanczosOptions, LanczosQuadrature, LinearOperator, LogDensityOptions,
    PowerIterationOptions, QuadratureOptions, TraceOptions, hutch_plus_plus, hutchinson_diagonal,
    hutchinson_trace, lanczos, power_iteration,
};
use vivit::tensor::{Device, Tensor};
use vivit_tests::zoo::host;

use super::Diagonal;

/// An operator that goes wrong in one product.
struct Broken {
    host: Device,
    at: usize,
    done: AtomicUsize,
    value: f64,
}

impl LinearOperator for Broken {
    fn dim(&self) -> usize {
        30
    }

    fn device(&self) -> &Device {
        &self.host
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let mut y = x.to_vec()?;
        for row in y.chunks_mut(30) {
            row.iter_mut().enumerate().for_each(|(i, y)| *y *= i as f64);
            if self.done.fetch_add(1, Relaxed) + 1 == self.at {
                row[7] = self.value;
            }
        }
        Ok(Tensor::from_vec(x.device(), x.shape(), y)?)
    }
}

#[test]
fn a_product_that_is_not_finite_is_named() {
    for value in [f64::NAN, f64::INFINITY] {
        for at in [1, 3, 6] {
            let broken = || Broken { host: host(), at, done: AtomicUsize::new(0), value };
            let options = TraceOptions::default().vectors(9).batch(2);
            let errors = [
                lanczos(&broken(), 2, &LanczosOptions::default().block(2)).unwrap_err(),
                power_iteration(&broken(), 2, &PowerIterationOptions::default()).unwrap_err(),
                hutchinson_trace(&broken(), &options).unwrap_err(),
                hutch_plus_plus(&broken(), &options).unwrap_err(),
                hutchinson_diagonal(&broken(), &options).unwrap_err(),
                LanczosQuadrature::new(&broken(), &QuadratureOptions::default()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error, Error::NonFiniteProduct { product: at }, "{error}");
            }
        }
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_was_reached() {
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    for max_products in [1, 6, 40] {
        let options = LanczosOptions::default().max_products(max_products).tolerance(1e-12);
        let error = lanczos(&Diagonal::new(&values), 5, &options).unwrap_err();
        let Error::NoConvergence {
            method: "Lanczos",
            converged,
            k: 5,
            products,
            residual,
            allowed,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert!(products <= max_products && converged < 5 && residual > allowed, "{error}");
        assert!(error.to_string().contains("allow more products or"));
    }
    // A tolerance below rounding is not reached, and ends.
    let options = LanczosOptions::default().tolerance(1e-30);
    assert!(matches!(
        lanczos(&Diagonal::new(&values), 5, &options),
        Err(Error::NoConvergence { .. })
    ));
}

#[test]
fn options_out_of_range_are_named() {
    let a = Diagonal::new(&[1.0, 2.0, 3.0]);
    let lanczos_with = |k, options| lanczos(&a, k, &options).unwrap_err();
    let power_with = |k, options| power_iteration(&a, k, &options).unwrap_err();
    let trace_with = |vectors, batch| TraceOptions::default().vectors(vectors).batch(batch);
    let points_with = |vectors, repeats| {
        LanczosQuadrature::new(&a, &QuadratureOptions::default().vectors(vectors).repeats(repeats))
            .unwrap_err()
    };
    let points = LanczosQuadrature::new(&a, &QuadratureOptions::default()).unwrap();
    let density = DensityOptions::default();
    let log = LogDensityOptions::default();
    let nan = f64::NAN;
    let cases = [
        (lanczos_with(0, LanczosOptions::default()), "k is 0", "1 to 3"),
        (lanczos_with(4, LanczosOptions::default()), "k is 4", "1 to 3"),
        (lanczos_with(1, LanczosOptions::default().tolerance(0.0)), "tolerance is 0", "positive"),
        (lanczos_with(1, LanczosOptions::default().tolerance(nan)), "tolerance is NaN", "positive"),
        (lanczos_with(1, LanczosOptions::default().block(0)), "block is 0", "at least 1"),
        (power_with(4, PowerIterationOptions::default()), "k is 4", "1 to 3"),
        (
            power_with(1, PowerIterationOptions::default().max_iterations(0)),
            "max_iterations is 0",
            "at least 1",
        ),
        (hutchinson_trace(&a, &trace_with(0, 1)).unwrap_err(), "vectors is 0", "at least 1"),
        (hutchinson_diagonal(&a, &trace_with(1, 0)).unwrap_err(), "batch is 0", "at least 1"),
        (hutch_plus_plus(&a, &trace_with(2, 1)).unwrap_err(), "vectors is 2", "at least 3"),
        (
            hutchinson_trace(&Diagonal::new(&[]), &trace_with(1, 1)).unwrap_err(),
            "dimension",
            "at least 1",
        ),
        (points_with(1, 1), "vectors is 1", "at least 2"),
        (points_with(2, 0), "repeats is 0", "at least 1"),
        (points.density(&density.points(1)).unwrap_err(), "points is 1", "at least 2"),
        (points.density(&density.kappa(1.0)).unwrap_err(), "kappa is 1", "above 1"),
        (points.density(&density.margin(-0.1)).unwrap_err(), "margin is -0.1", "at least 0"),
        (
            points.density(&density.boundaries(Some((nan, 1.0)))).unwrap_err(),
            "lower boundary is NaN",
            "finite",
        ),
        (
            points.density(&density.boundaries(Some((2.0, 1.0)))).unwrap_err(),
            "upper boundary is 1",
            "above",
        ),
        (points.log_density(&log.epsilon(0.0)).unwrap_err(), "epsilon is 0", "positive"),
        (points.log_density(&log.kappa(nan)).unwrap_err(), "kappa is NaN", "above 1"),
        (
            points.log_density(&log.boundaries(Some((-1.0, 1.0)))).unwrap_err(),
            "lower boundary is -1",
            "at least 0",
        ),
    ];
    for (error, name, allowed) in cases {
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains(allowed),
            "{message:?} lacks {name:?} or {allowed:?}"
        );
        assert!(matches!(error, Error::InvalidOption { .. }), "{message}");
    }
}

/// An operator that drops a row.
struct Short(Tensor);

impl LinearOperator for Short {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.slice(1, x.shape()[0]))
    }
}

#[test]
fn an_operator_that_changes_the_shape_is_an_error() {
    let short = Short(Tensor::zeros(&host(), [4]));
    let error = lanczos(&short, 1, &LanczosOptions::default()).unwrap_err();
    assert_eq!(error, Error::ProductShape { got: vec![0, 4], expected: vec![1, 4] });
}
