//! An open device: its queue, its memory, and what has gone wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vivit_tensor::{DType, Error as TensorError};

use crate::buffer::Buf;
use crate::error::Error;
use crate::info::{DeviceInfo, Transfers};
use crate::launch::{Failure, Mem, Queue};
use crate::pool::{Block, Pool, Stock, size_for};
use crate::program::Compiled;

#[derive(Default)]
struct Counters {
    uploads: AtomicU64,
    uploaded_bytes: AtomicU64,
    downloads: AtomicU64,
    downloaded_bytes: AtomicU64,
}

/// What both precisions of an open device share.
pub(crate) struct Session {
    pub info: DeviceInfo,
    pub pool: Arc<Pool>,
    /// Numbers in the device's own vectors, in single and in double precision.
    widths: [usize; 2],
    /// The kernels in single and in double precision, from the first demand on.
    compiled: Mutex<[Option<Arc<Compiled>>; 2]>,
    failed: Mutex<Option<TensorError>>,
    counters: Counters,
    pub queue: Queue,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub fn new(queue: Queue, info: DeviceInfo, widths: [usize; 2]) -> Self {
        let pool = Arc::new(Pool::new(info.memory));
        Session {
            info,
            pool,
            widths,
            compiled: Mutex::default(),
            failed: Mutex::default(),
            counters: Counters::default(),
            queue,
        }
    }

    /// The kernels in a precision; they are compiled once.
    ///
    /// # Errors
    /// If the device can't compile them.
    pub fn compiled(&self, dtype: DType) -> Result<Arc<Compiled>, Error> {
        let mut compiled = locked(&self.compiled);
        let (slot, width) = match dtype {
            DType::F32 => (&mut compiled[0], self.widths[0]),
            DType::F64 => (&mut compiled[1], self.widths[1]),
        };
        if let Some(there) = slot {
            return Ok(Arc::clone(there));
        }
        let new = Arc::new(Compiled::new(&self.queue, &self.info, dtype, width)?);
        Ok(Arc::clone(slot.insert(new)))
    }

    pub fn device(&self) -> String {
        device(&self.info)
    }

    pub fn error(&self, failure: Failure) -> TensorError {
        let in_use = if failure.is_memory() { self.pool.stock().in_use } else { 0 };
        typed(failure, &self.info, in_use, in_use)
    }

    /// Remembers a failure if it is the first.
    fn remember(&self, error: &TensorError) {
        locked(&self.failed).get_or_insert_with(|| error.clone());
    }

    /// The first failure since the last time that this was asked.
    pub fn settle(&self) -> Result<(), TensorError> {
        if let Err(failure) = self.queue.flush() {
            self.remember(&self.error(failure));
        }
        locked(&self.failed).take().map_or(Ok(()), Err)
    }

    pub fn transfers(&self) -> Transfers {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Transfers {
            uploads: get(&self.counters.uploads),
            uploaded_bytes: get(&self.counters.uploaded_bytes),
            downloads: get(&self.counters.downloads),
            downloaded_bytes: get(&self.counters.downloaded_bytes),
        }
    }

    /// Waits until the device has done everything; for measurements.
    pub fn finish(&self) -> Result<(), TensorError> {
        if let Err(failure) = self.queue.finish() {
            self.remember(&self.error(failure));
        }
        self.settle()
    }

    /// Memory for `len` numbers, of any content; a failure is remembered, and the buffer holds it.
    pub fn allocate<T>(&self, len: usize) -> Buf<T> {
        let size = size_for(len.saturating_mul(size_of::<T>()));
        let block = self
            .memory(len, size)
            .map(|(mem, size)| Arc::new(Block::new(mem, size, Arc::clone(&self.pool))))
            .map_err(|error| {
                self.remember(&error);
                Arc::new(error)
            });
        Buf::new(block, len)
    }

    fn memory(&self, len: usize, size: usize) -> Result<(Mem, usize), TensorError> {
        if u32::try_from(len).is_err() {
            let reason = format!(
                "an array of {len} entries was asked for; the kernels count to 2³² − 1: use fewer \
                 samples at a time"
            );
            return Err(TensorError::Device { device: self.device(), reason });
        }
        let mut stock = self.pool.stock();
        let (mem, size) = match stock.take(size) {
            Some(taken) => taken,
            None => {
                let again = self.fresh(size, &stock).or_else(|failure| {
                    if !failure.is_memory() || stock.idle == 0 {
                        return Err(failure);
                    }
                    // Memory that lies idle may be in the way.
                    stock.clear();
                    self.queue.finish()?;
                    self.fresh(size, &stock)
                });
                (again.map_err(|failure| typed(failure, &self.info, size, stock.in_use))?, size)
            }
        };
        stock.in_use += size;
        Ok((mem, size))
    }

    /// Memory from the device. More than it says it has is not asked for: some drivers put off
    /// finding room, and give up when a command runs.
    fn fresh(&self, size: usize, stock: &Stock) -> Result<Mem, Failure> {
        let known = self.info.memory > 0;
        if known && (stock.in_use + stock.idle).saturating_add(size) as u64 > self.info.memory {
            return Err(Failure::OUT_OF_MEMORY);
        }
        self.queue.allocate(size)
    }

    pub fn upload<T: Send + 'static>(&self, data: Vec<T>) -> Buf<T> {
        let bytes = size_of_val(data.as_slice()) as u64;
        self.counters.uploads.fetch_add(1, Ordering::Relaxed);
        self.counters.uploaded_bytes.fetch_add(bytes, Ordering::Relaxed);
        let buf = self.allocate(data.len());
        let Ok(block) = &buf.block else { return buf };
        match self.queue.write(block.mem(), data) {
            Ok(()) => buf,
            Err(failure) => self.spoiled(buf.len, self.error(failure)),
        }
    }

    pub fn download<T: Copy + Default>(&self, buf: &Buf<T>) -> Result<Vec<T>, TensorError> {
        self.counters.downloads.fetch_add(1, Ordering::Relaxed);
        self.counters
            .downloaded_bytes
            .fetch_add((buf.len * size_of::<T>()) as u64, Ordering::Relaxed);
        self.settle()?;
        let block = buf.block.as_ref().map_err(|error| TensorError::clone(error))?;
        self.queue.read(block.mem(), buf.start, buf.len).map_err(|failure| self.error(failure))
    }

    /// A buffer that is not filled, because of a failure; which is remembered.
    pub fn spoiled<T>(&self, len: usize, error: TensorError) -> Buf<T> {
        self.remember(&error);
        Buf::new(Err(Arc::new(error)), len)
    }

    /// Makes a buffer's memory its own, so that it can be written.
    pub fn own<T>(&self, buf: &mut Buf<T>) {
        let Ok(block) = &mut buf.block else { return };
        if Arc::get_mut(block).is_some() {
            return;
        }
        let fresh = self.allocate(buf.len);
        *buf = self.copy(buf, &fresh).into(self, fresh);
    }

    /// Copies a buffer to another one of the same length; does not wait.
    pub fn copy<T>(&self, from: &Buf<T>, to: &Buf<T>) -> Outcome {
        let size = size_of::<T>();
        Outcome(match (&from.block, &to.block) {
            (Err(error), _) | (_, Err(error)) => Err(TensorError::clone(error)),
            // OpenCL refuses to copy nothing.
            _ if from.len == 0 => Ok(()),
            (Ok(source), Ok(target)) => {
                let source = (source.mem(), from.start * size);
                let target = (target.mem(), to.start * size);
                self.queue
                    .copy(source, target, from.len * size)
                    .map_err(|failure| self.error(failure))
            }
        })
    }
}

/// A device in errors.
fn device(info: &DeviceInfo) -> String {
    format!("OpenCL device {}", info.name)
}

/// A failed call as an error: memory was refused, the device is gone, or what the status says.
fn typed(failure: Failure, info: &DeviceInfo, asked: usize, in_use: usize) -> TensorError {
    let (device, reason) =
        (device(info), format!("{} failed with {}", failure.call, failure.status()));
    if failure.is_memory() {
        let (largest, total) = (info.largest_array, info.memory);
        return TensorError::Memory {
            device,
            bytes: asked as u64,
            in_use: in_use as u64,
            largest,
            total,
        };
    }
    if failure.is_loss() {
        TensorError::DeviceLost { device, reason }
    } else {
        TensorError::Device { device, reason }
    }
}

/// Whether a kernel was started.
#[must_use]
pub(crate) struct Outcome(pub Result<(), TensorError>);

impl Outcome {
    /// The kernel's result, if it was started.
    pub fn into<T>(self, session: &Session, out: Buf<T>) -> Buf<T> {
        match self.0 {
            Ok(()) => out,
            Err(error) => session.spoiled(out.len, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::Kind;

    /// No driver here loses its device on demand, so the statuses of those that do are taken from
    /// the standard.
    #[test]
    fn statuses_become_typed_errors() {
        let info = DeviceInfo {
            index: 0,
            name: "D".into(),
            platform: "P".into(),
            kind: Kind::Gpu,
            version: "OpenCL 1.2".into(),
            driver: "1".into(),
            compute_units: 1,
            memory: 1000,
            largest_array: 250,
            local_memory: 64,
            doubles: false,
        };
        let error = |call, code| typed(Failure { call, code }, &info, 300, 700);
        for (call, code) in [
            ("clCreateBuffer", -4),
            ("clCreateBuffer", -5),
            ("clCreateBuffer", -61),
            ("clCreateBuffer", -6),
        ] {
            let TensorError::Memory { bytes: 300, in_use: 700, largest: 250, total: 1000, .. } =
                error(call, code)
            else {
                panic!("{call}, {code}: {}", error(call, code))
            };
        }
        // A driver that finds room only when a command runs.
        for call in ["clEnqueueNDRangeKernel", "clEnqueueWriteBuffer", "clFinish"] {
            assert!(matches!(error(call, -4), TensorError::Memory { .. }), "{}", error(call, -4));
        }
        let lost = [
            (-2, "CL_DEVICE_NOT_AVAILABLE"),
            (-33, "CL_INVALID_DEVICE"),
            (-34, "CL_INVALID_CONTEXT"),
            (-36, "CL_INVALID_COMMAND_QUEUE"),
            (-9999, "NVIDIA"),
        ];
        for (code, word) in lost {
            let error = error("clFinish", code);
            assert!(
                matches!(error, TensorError::DeviceLost { .. }) && error.to_string().contains(word),
                "{error}"
            );
            assert!(error.to_string().contains("open it again"), "{error}");
        }
        for (code, word) in
            [(-5, "CL_OUT_OF_RESOURCES"), (-14, "CL_EXEC_STATUS_ERROR"), (-48, "status -48")]
        {
            let error = error("clEnqueueReadBuffer", code);
            let TensorError::Device { device, reason } = &error else { panic!("{error}") };
            assert!(
                device.contains("D")
                    && reason.contains(word)
                    && reason.contains("clEnqueueReadBuffer"),
                "{error}"
            );
        }
    }
}
