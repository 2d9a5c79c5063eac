//! Extensions that differ in what they do with one probe are declared alike: a struct that holds
//! the probe, and its constructors.

/// A struct that holds a probe, and the choice of its samples.
macro_rules! of_probe {
    ($(#[$doc:meta])* $name:ident, $samples:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<B: vivit_tensor::Backend> {
            probe: vivit_autodiff::Probe<B>,
        }

        impl<B: vivit_tensor::Backend> $name<B> {
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

        impl<B: vivit_tensor::Backend> $name<B> {
            /// Of all samples.
            #[allow(clippy::new_without_default)] // an extension is asked for by name
            pub fn new() -> Self {
                $name { probe: vivit_autodiff::Probe::new($seed) }
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
            $(#[$doc])* $name, vivit_autodiff::Seed::Hessian(vivit_autodiff::RootColumns::default()),
            "Of the chosen samples, in that order, scaled by `N/|S|` so that they stand for the \
             whole batch."
        }
    };
}

/// A quantity of the GGN: `Name::exact()`, `Name::sampled(draws, seed)`, `Name::new(root)`,
/// `.samples(…)`.
macro_rules! of_root {
    ($(#[$doc:meta])* $name:ident) => {
        crate::constructors::of_probe! {
            $(#[$doc])* $name, "Of the chosen samples, in that order, scaled by `N/|S|` so that \
                                they stand for the whole batch."
        }

        impl<B: vivit_tensor::Backend> $name<B> {
            /// With the given root of the loss Hessian.
            pub fn new(root: vivit_autodiff::Root) -> Self {
                $name { probe: vivit_autodiff::Probe::new(vivit_autodiff::Seed::Root(root)) }
            }

            /// With the exact root of fewest columns.
            pub fn exact() -> Self {
                Self::new(vivit_autodiff::Root::default())
            }

            /// With `draws` Monte-Carlo columns.
            pub fn sampled(draws: usize, seed: u64) -> Self {
                Self::new(vivit_autodiff::Root::Sampled { draws, seed })
            }
        }
    };
}

/// `Extension` for a struct that holds a probe and whose result is one value per parameter:
/// `per_parameter! { Name, Value, |site| … }`.
macro_rules! per_parameter {
    ($name:ident, $value:ty, |$site:ident| $visit:expr) => {
        impl<B: vivit_tensor::Backend> crate::Extension<B> for $name<B> {
            type Value = $value;
            type Out = vivit_autodiff::ParamMap<$value>;

            fn name(&self) -> &'static str {
                stringify!($name)
            }

            fn probes(&self) -> Vec<vivit_autodiff::Probe<B>> {
                vec![self.probe.clone()]
            }

            fn visit(
                &mut self,
                $site: &vivit_autodiff::Site<'_, B>,
            ) -> Result<$value, crate::Error> {
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
