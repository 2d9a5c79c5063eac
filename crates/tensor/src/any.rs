//! Trait objects that can be asked for their type.

use std::any::Any;

/// Gives a trait object's value as [`Any`]; for every type.
pub trait AsAny: Any {
    /// This value as [`Any`].
    fn as_any(&self) -> &dyn Any;
}

impl<T: Any> AsAny for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
