//! Memory of a backend, as the layers above pass it around.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A shared range of a backend's memory. Cloning and slicing share the memory.
///
/// What the memory is, only its backend knows: any `Send + Sync` type, got back by
/// [`memory`](Buffer::memory). Positions count elements.
///
/// ```
/// use vivit_tensor::{Device, HostVec};
///
/// let device = Device::cpu();
/// let x = device.upload(HostVec::from(vec![1.0, 2.0, 3.0]));
/// let last = x.slice(1..3); // of the same memory
/// assert_eq!((last.start(), last.len()), (1, 2));
/// assert_eq!(device.download(&last)?.into_vec::<f64>(), [2.0, 3.0]);
/// # Ok::<(), vivit_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Buffer {
    memory: Arc<dyn Any + Send + Sync>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// The range of `len` elements from `start` on.
    pub fn new(memory: Arc<dyn Any + Send + Sync>, start: usize, len: usize) -> Self {
        Buffer { memory, start, len }
    }

    /// Position of the first element in the memory.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Number of elements.
    #[allow(clippy::len_without_is_empty)] // as for `Tensor`
    pub fn len(&self) -> usize {
        self.len
    }

    /// Some of the elements.
    ///
    /// # Panics
    /// If the range does not fit.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "slice {range:?} of {} elements",
            self.len
        );
        Buffer {
            memory: Arc::clone(&self.memory),
            start: self.start + range.start,
            len: range.len(),
        }
    }

    /// Returns `true` if both are the same range of the same memory, so that they hold equal
    /// elements.
    pub fn is_same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
            && (self.start, self.len) == (other.start, other.len)
    }

    /// The whole memory, if it is of type `M`.
    #[inline]
    pub fn memory<M: Any>(&self) -> Option<&M> {
        self.memory.downcast_ref()
    }

    /// The whole memory for writing, if it is of type `M` and nobody else shares it.
    #[inline]
    pub fn memory_mut<M: Any>(&mut self) -> Option<&mut M> {
        Arc::get_mut(&mut self.memory)?.downcast_mut()
    }

    /// The shared memory, if it is of type `M`.
    pub fn shared<M: Any + Send + Sync>(&self) -> Option<Arc<M>> {
        Arc::clone(&self.memory).downcast().ok()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} elements)", self.len)
    }
}

/// 32-bit indices in a backend's memory. Cloning shares them.
#[derive(Clone)]
pub struct Index(Arc<dyn Any + Send + Sync>);

impl Index {
    /// Wraps a backend's indices.
    pub fn new(memory: Arc<dyn Any + Send + Sync>) -> Self {
        Index(memory)
    }

    /// The indices, if they are of type `M`.
    pub fn memory<M: Any>(&self) -> Option<&M> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index")
    }
}
