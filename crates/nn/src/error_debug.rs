//! `Debug` for errors.

/// Makes `Debug` print an error's message: a `main` that returns the error prints its `Debug` form.
macro_rules! debug_is_message {
    ($($error:ty),+) => { $(
        impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }
    )+ };
}

pub(crate) use debug_is_message;
