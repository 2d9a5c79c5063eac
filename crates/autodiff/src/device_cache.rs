//! What losses and operations keep on a device from one call to the next.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// One value of any type, made when it is first asked for. A clone starts empty.
#[derive(Default)]
pub(crate) struct DeviceCache(Mutex<Option<Box<dyn Any + Send>>>);

impl fmt::Debug for DeviceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCache")
    }
}

impl Clone for DeviceCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl DeviceCache {
    /// The value that was kept, if it is of this type and still `fits`; else a new one, kept from
    /// now on.
    pub fn get_or<T: Clone + Send + 'static>(
        &self,
        fits: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> T {
        self.get(fits).unwrap_or_else(|| self.keep(make()))
    }

    /// The value that was kept, if it is of this type and still `fits`.
    pub fn get<T: Clone + 'static>(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().and_then(|kept| kept.downcast_ref::<T>()).filter(|known| fits(known)).cloned()
    }

    /// Keeps a value from now on.
    pub fn keep<T: Clone + Send + 'static>(&self, value: T) -> T {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(value.clone()));
        value
    }
}
