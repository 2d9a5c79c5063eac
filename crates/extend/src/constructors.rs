//! Extensions that differ in what they do with one probe are declared alike: a struct that holds
//! the probe, and its constructors.

/// A struct that holds a probe, and the choice of its samples.
macro_rules! of_probe {
    ($(#[$doc:meta])* $name:ident, $samples:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            probe: vivit_autodiff::Probe,
        }

        impl $name {
            #[doc = $samples]
            #[must_use]
            pub fn samples(mut self, samples: Vec<usize>) -> Self {
                self.probe.samples = Some(samples);
                self
            }
        }
    };
}

/// A quantity with one seed: `Name::new()`, `.samples(…)`.
macro_rules! of_seed {
    ($(#[$doc:meta])* $name:ident, $seed:expr, $samples:literal) => {
        crate::constructors::of_probe! { $(#[$doc])* $name, $samples }

        impl $name {
            /// Of all samples.
            pub fn new() -> Self {
                $name { probe: vivit_autodiff::Probe::new($seed) }
            }
        }

        /// Of all samples.
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// A quantity of per-sample gradients.
macro_rules! of_gradient {
    ($(#[$doc:meta])* $name:ident) => {
        crate::constructors::of_seed! {
            $(#[$doc])* $name, vivit_autodiff::Seed::Gradient, "Of the chosen samples, in that \
                order."
        }
    };
}

/// A quantity of the Hessian.
macro_rules! of_hessian {
    ($(#[$doc:meta])* $name:ident) => {
        crate::constructors::of_seed! {
            $(#[$doc])* $name,
            vivit_autodiff::Seed::Hessian(vivit_autodiff::RootColumns::default()),
            "Of the chosen samples, in that order, scaled by `N/|S|` so that they stand for the \
             whole batch."
        }
    };
}

/// A quantity of the GGN: `Name::exact()`, `Name::monte_carlo(draws, seed)`, `Name::new(root)`,
/// `.samples(…)`.
macro_rules! of_root {
    ($(#[$doc:meta])* $name:ident) => {
        crate::constructors::of_probe! {
            $(#[$doc])* $name, "Of the chosen samples, in that order, scaled by `N/|S|` so that \
                                they stand for the whole batch."
        }

        impl $name {
            /// With the given root of the loss Hessian.
            pub fn new(root: vivit_autodiff::Root) -> Self {
                $name { probe: vivit_autodiff::Probe::new(vivit_autodiff::Seed::Root(root)) }
            }

            /// With the exact root of fewest columns.
            pub fn exact() -> Self {
                Self::new(vivit_autodiff::Root::default())
            }

            /// With `draws` Monte-Carlo columns.
            pub fn monte_carlo(draws: usize, seed: u64) -> Self {
                Self::new(vivit_autodiff::Root::MonteCarlo { draws, seed })
            }
        }

        /// With the exact root of fewest columns.
        impl Default for $name {
            fn default() -> Self {
                Self::exact()
            }
        }
    };
}

/// `Extension` for a struct that holds a probe and whose result is one value per parameter:
/// `per_parameter! { Name, Value, |site| … }`.
macro_rules! per_parameter {
    ($name:ident, $value:ty, |$site:ident| $visit:expr) => {
        impl crate::Extension for $name {
            type Value = $value;
            type Out = vivit_autodiff::ParamMap<$value>;

            fn name(&self) -> &'static str {
                stringify!($name)
            }

            fn probes(&self) -> Vec<vivit_autodiff::Probe> {
                vec![self.probe.clone()]
            }

            fn visit(&mut self, $site: &vivit_autodiff::Site<'_>) -> Result<$value, crate::Error> {
                $visit
            }

            fn finish(
                self,
                values: vivit_autodiff::ParamMap<$value>,
            ) -> Result<Self::Out, crate::Error> {
                Ok(values)
            }
        }
    };
}

pub(crate) use {of_gradient, of_hessian, of_probe, of_root, of_seed, per_parameter};
