//! What a loss keeps on a device from one call to the next.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// One value of any type, made when it is first asked for. A clone starts empty.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Box<dyn Any + Send>>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Kept {
    /// The value that was kept, if it is of this type and still `fits`; else a new one, kept from now on.
    pub fn get_or<T: Clone + Send + 'static>(&self, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> T {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.as_ref().and_then(|kept| kept.downcast_ref::<T>()).filter(|known| fits(known)) {
            return known.clone();
        }
        let made = make();
        *kept = Some(Box::new(made.clone()));
        made
    }
}
