//! Ranges of device memory, as launchers take them and as the layers above pass them around.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use vivit_tensor::{Buffer, Error, Index};

use crate::pool::{Block, Pool};

/// A shared range of device memory, or why there is none: the failure of what should have filled
/// it.
pub(crate) struct Buf<T> {
    pub block: Result<Arc<Block<T>>, Arc<Error>>,
    pub start: usize,
    pub len: usize,
    elem: PhantomData<fn() -> T>,
}

impl<T> Clone for Buf<T> {
    fn clone(&self) -> Self {
        self.slice(0, self.len)
    }
}

impl<T> Buf<T> {
    pub fn new(block: Result<Arc<Block<T>>, Arc<Error>>, len: usize) -> Self {
        Buf { block, start: 0, len, elem: PhantomData }
    }

    pub fn slice(&self, start: usize, len: usize) -> Self {
        Buf { block: self.block.clone(), start: self.start + start, len, elem: PhantomData }
    }
}

impl<T> fmt::Debug for Buf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenCL buffer ({} elements)", self.len)?;
        if let Err(error) = &self.block { write!(f, ", never filled: {error}") } else { Ok(()) }
    }
}

impl<T: 'static> Buf<T> {
    /// The range that a buffer of this device stands for.
    ///
    /// # Panics
    /// If the buffer is another backend's, another device's or of another precision.
    #[track_caller]
    pub fn read(buffer: &Buffer, pool: &Arc<Pool>) -> Self {
        let block = match (buffer.shared::<Block<T>>(), buffer.shared::<Error>()) {
            (Some(block), _) if block.is_of(pool) => Ok(block),
            (None, Some(error)) => Err(error),
            (Some(_), _) => panic!(
                "a buffer of another OpenCL device, or of this one opened once more, where this \
                 one's {} is needed",
                type_name::<T>()
            ),
            (None, None) => panic!(
                "a buffer of another backend or precision where OpenCL's {} is needed",
                type_name::<T>()
            ),
        };
        Buf { block, start: buffer.start(), len: buffer.len(), elem: PhantomData }
    }

    /// The same, of a buffer that is about to be written and put back: it is left empty, so that
    /// its memory is not shared with itself.
    #[track_caller]
    pub fn take(buffer: &mut Buffer, pool: &Arc<Pool>) -> Self {
        let taken = Self::read(buffer, pool);
        *buffer = Buffer::new(Arc::new(()), 0, 0);
        taken
    }

    /// The buffer that stands for this range.
    pub fn wrap(self) -> Buffer {
        match self.block {
            Ok(block) => Buffer::new(block, self.start, self.len),
            Err(error) => Buffer::new(error, self.start, self.len),
        }
    }
}

impl Buf<u32> {
    /// The range that indices of this device stand for.
    ///
    /// # Panics
    /// If they are another backend's or another device's.
    #[track_caller]
    pub fn indices<'i>(index: &'i Index, pool: &Arc<Pool>) -> &'i Self {
        match index.memory::<Self>() {
            Some(indices) if indices.block.as_ref().map_or(true, |block| block.is_of(pool)) => {
                indices
            }
            Some(_) => panic!(
                "indices of another OpenCL device, or of this one opened once more, where this \
                 one's are needed"
            ),
            None => panic!("indices of another backend where OpenCL's are needed"),
        }
    }

    /// The indices that stand for this range.
    pub fn wrap_index(self) -> Index {
        Index::new(Arc::new(self))
    }
}
