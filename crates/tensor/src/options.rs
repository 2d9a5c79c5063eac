//! One style for all option structs: defaults, public reading, a method to set each.

/// Declares a struct of options with their defaults: `#[non_exhaustive]`, so that options can be
/// added without a break, with a method of the same name to set each.
///
/// ```
/// vivit_tensor::options! {
///     /// Options of a search.
///     #[derive(Clone, Debug)]
///     pub struct SearchOptions {
///         /// Steps at most.
///         pub steps: usize = 100,
///         /// Relative accuracy.
///         pub tolerance: f64 = 1e-5,
///     }
/// }
///
/// let options = SearchOptions::default().tolerance(1e-9);
/// assert_eq!((options.steps, options.tolerance), (100, 1e-9));
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* pub $field:ident: $ty:ty = $default:expr,)+
        }
    ) => {
        $(#[$meta])*
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])* pub $field: $ty,)+
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)+ }
            }
        }

        impl $name {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ")."
                )]
                #[must_use]
                pub fn $field(mut self, $field: $ty) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}
