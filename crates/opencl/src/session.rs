//! An open device: its program, kernels, memory, and what has gone wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vivit_tensor::Error as TensorError;

use crate::buffer::{Block, Buf, Pool};
use crate::launch::{Arg, Failure, Kernel, Mem, Program, Queue};
use crate::{DeviceInfo, Error, Transfers};

/// The kernels' source: what they share, then one part per family.
const SOURCE: [&str; 6] = [
    include_str!("prelude.cl"),
    include_str!("elementwise.cl"),
    include_str!("array.cl"),
    include_str!("reduce.cl"),
    include_str!("window.cl"),
    include_str!("product_lanes.cl"),
];
/// The tiled product; compiled for two sizes of tile.
const TILED_PRODUCT: &str = include_str!("product_tiles.cl");

/// Work-items of a group in one dimension.
pub(crate) const GROUP: usize = 256;
/// Work-groups in the second dimension of one launch; some drivers take no more.
const ROWS_OF_GROUPS: usize = 65_535;

#[derive(Default)]
struct Counters {
    uploads: AtomicU64,
    uploaded_bytes: AtomicU64,
    downloads: AtomicU64,
    downloaded_bytes: AtomicU64,
}

/// The register tile of the product on cores: rows, and numbers in a vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    pub rows: usize,
    pub width: usize,
}

pub(crate) struct Session {
    pub info: DeviceInfo,
    pub lanes: Lanes,
    pub double: bool,
    program: Program,
    kernels: Mutex<HashMap<String, Kernel>>,
    pool: Mutex<Pool>,
    failed: Mutex<Option<TensorError>>,
    counters: Counters,
    queue: Queue,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Compiles the kernels for an element type.
    pub fn new(
        queue: Queue,
        info: DeviceInfo,
        double: bool,
        native_width: usize,
    ) -> Result<Self, Error> {
        // 32 vector registers where vectors have 64 bytes, 16 elsewhere: two columns of vectors,
        // one row each less the operands.
        let bytes = native_width * if double { 8 } else { 4 };
        let width = native_width.clamp(2, 16).next_power_of_two();
        let lanes = Lanes { rows: if bytes >= 64 { 12 } else { 6 }, width };
        let tiles = |name: &str, per: usize| {
            format!(
                "#define PRODUCT {name}\n#define PER {per}\n{TILED_PRODUCT}\n#undef \
                 PRODUCT\n#undef PER\n#undef TILE\n"
            )
        };
        let source =
            [SOURCE.join("\n"), tiles("product_small_tiles", 4), tiles("product_large_tiles", 8)]
                .join("\n");
        let program = build(&queue, &info, &source, double, lanes)?;
        Ok(Session {
            info,
            lanes,
            double,
            program,
            kernels: Mutex::default(),
            pool: Mutex::default(),
            failed: Mutex::default(),
            counters: Counters::default(),
            queue,
        })
    }

    pub fn size_of_elem(&self) -> usize {
        if self.double { 8 } else { 4 }
    }

    fn device(&self) -> String {
        device(&self.info)
    }

    fn error(&self, failure: Failure) -> TensorError {
        let in_use = if failure.is_memory() { locked(&self.pool).in_use } else { 0 };
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
    pub fn allocate<T>(self: &Arc<Self>, len: usize) -> Buf<T> {
        let size = Pool::size_for(len.saturating_mul(size_of::<T>()));
        let block = self
            .memory(len, size)
            .map(|(mem, size)| Arc::new(Block::new(mem, size, Arc::clone(self))))
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
        let mut pool = locked(&self.pool);
        let (mem, size) = match pool.take(size) {
            Some(taken) => taken,
            None => {
                let again = self.fresh(size, &pool).or_else(|failure| {
                    if !failure.is_memory() || pool.idle == 0 {
                        return Err(failure);
                    }
                    // Memory that lies idle may be in the way.
                    pool.clear();
                    self.queue.finish()?;
                    self.fresh(size, &pool)
                });
                (again.map_err(|failure| typed(failure, &self.info, size, pool.in_use))?, size)
            }
        };
        pool.in_use += size;
        Ok((mem, size))
    }

    /// Memory from the device. More than it says it has is not asked for: some drivers put off
    /// finding room, and give up when a command runs.
    fn fresh(&self, size: usize, pool: &Pool) -> Result<Mem, Failure> {
        let known = self.info.memory > 0;
        if known && (pool.in_use + pool.idle).saturating_add(size) as u64 > self.info.memory {
            return Err(Failure::OUT_OF_MEMORY);
        }
        self.queue.allocate(size)
    }

    /// Takes memory back that nobody uses any more.
    pub fn take_back(&self, mem: Mem, size: usize) {
        // An eighth of the memory may lie idle: enough for the factors of a sweep to follow each
        // other in.
        let limit = usize::try_from(self.info.memory / 8).unwrap_or(usize::MAX).max(1 << 28);
        let mut pool = locked(&self.pool);
        pool.in_use -= size;
        pool.give(mem, size, limit);
    }

    pub fn upload<T: Send + 'static>(self: &Arc<Self>, data: Vec<T>) -> Buf<T> {
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
    pub fn own<T>(self: &Arc<Self>, buf: &mut Buf<T>) {
        let Ok(block) = &mut buf.block else { return };
        if Arc::get_mut(block).is_some() {
            return;
        }
        let fresh = self.allocate::<T>(buf.len);
        let size = size_of::<T>();
        let copied = match &fresh.block {
            Ok(to) if buf.len > 0 => {
                self.queue.copy(block.mem(), buf.start * size, to.mem(), buf.len * size)
            }
            _ => Ok(()),
        };
        *buf = match copied {
            Ok(()) => fresh,
            Err(failure) => self.spoiled(buf.len, self.error(failure)),
        };
    }

    /// Starts the description of a kernel's call.
    pub fn call(&self, name: impl Into<String>) -> Call<'_> {
        Call { session: self, name: name.into(), args: Vec::with_capacity(16), failed: None }
    }

    fn launch(
        &self,
        name: &str,
        args: &[Arg<'_>],
        offset: [usize; 2],
        global: [usize; 2],
        local: [usize; 2],
    ) -> Result<(), Failure> {
        let mut kernels = locked(&self.kernels);
        if !kernels.contains_key(name) {
            kernels.insert(name.into(), self.queue.kernel(&self.program, name)?);
        }
        self.queue.launch(&kernels[name], args, offset, global, local)
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

/// Compiles a program for a device and an element type.
pub(crate) fn build(
    queue: &Queue,
    info: &DeviceInfo,
    source: &str,
    double: bool,
    lanes: Lanes,
) -> Result<Program, Error> {
    let (real, Lanes { rows, width }) = (if double { "double" } else { "float" }, lanes);
    let doubles = if double { " -D DOUBLE" } else { "" };
    let options = format!(
        "-cl-std=CL1.2 -D REAL={real} -D VECTOR={real}{width} -D WIDTH={width} -D \
         HEIGHT={rows}{doubles}"
    );
    queue.build(source, &options).map_err(|(failure, log)| {
        let log = if log.is_empty() {
            format!("{} failed with {}", failure.call, failure.status())
        } else {
            log
        };
        Error::Build { device: info.name.clone(), log }
    })
}

/// A kernel's call under construction. An argument that was never filled makes the whole call fail
/// in the same way.
pub(crate) struct Call<'s> {
    session: &'s Session,
    name: String,
    args: Vec<Arg<'s>>,
    failed: Option<TensorError>,
}

impl<'s> Call<'s> {
    /// A buffer, as a pointer and the position of its first entry.
    pub fn buf<T>(mut self, buf: &'s Buf<T>) -> Self {
        match &buf.block {
            Ok(block) => self.args.extend([Arg::Mem(block.mem()), Arg::Long(buf.start as u64)]),
            Err(error) => self.failed = self.failed.or_else(|| Some(TensorError::clone(error))),
        }
        self
    }

    /// `uint`, or a vector of 2, 4 or 8 of them.
    pub fn words<const N: usize>(mut self, words: [usize; N]) -> Self {
        const { assert!(matches!(N, 1 | 2 | 4 | 8)) };
        let mut all = [0; 8];
        for (word, &number) in all.iter_mut().zip(&words) {
            match u32::try_from(number) {
                Ok(number) => *word = number,
                Err(_) => {
                    let reason = format!(
                        "{}: {number} is more than the kernels count to: use fewer samples at a \
                         time",
                        self.name
                    );
                    self.failed = self.failed.or_else(|| {
                        Some(TensorError::Device { device: self.session.device(), reason })
                    });
                }
            }
        }
        self.args.push(Arg::Words(all, N));
        self
    }

    /// `int`.
    pub fn signed_one(mut self, number: isize) -> Self {
        self.args.push(Arg::Words([number as i32 as u32, 0, 0, 0, 0, 0, 0, 0], 1));
        self
    }

    /// A vector of eight signed numbers.
    pub fn signed(mut self, numbers: [isize; 8]) -> Self {
        // Two's complement on both sides: the same bits.
        self.args.push(Arg::Words(numbers.map(|number| number as i32 as u32), 8));
        self
    }

    /// A number of the element type.
    pub fn real(mut self, number: f64) -> Self {
        self.args.push(if self.session.double {
            Arg::Double(number)
        } else {
            Arg::Single(number as f32)
        });
        self
    }

    /// Local memory for that many numbers.
    pub fn local(mut self, len: usize) -> Self {
        self.args.push(Arg::Local(len * self.session.size_of_elem()));
        self
    }

    /// Runs over `n` work-items, at least; the kernel is told none of it.
    pub fn flat(self, n: usize) -> Outcome {
        let groups = n.div_ceil(GROUP);
        self.groups(groups, [GROUP, 1])
    }

    /// Runs over rows of `inner` work-items each.
    pub fn rows(self, inner: usize, outer: usize) -> Outcome {
        // Few shapes, because some drivers compile a kernel once more for each.
        let local = if inner > 24 { [64, 4] } else { [8, 32] };
        self.run([inner.div_ceil(local[0]), outer.div_ceil(local[1])], local)
    }

    /// Runs `count` groups of the given size.
    pub fn groups(self, count: usize, local: [usize; 2]) -> Outcome {
        self.run([count, 1], local)
    }

    /// Runs a grid of groups.
    pub fn run(self, groups: [usize; 2], local: [usize; 2]) -> Outcome {
        if let Some(error) = self.failed {
            return Outcome(Err(error));
        }
        if groups.contains(&0) {
            return Outcome(Ok(()));
        }
        for first in (0..groups[1]).step_by(ROWS_OF_GROUPS) {
            let rows = ROWS_OF_GROUPS.min(groups[1] - first);
            let (offset, global) = ([0, first * local[1]], [groups[0] * local[0], rows * local[1]]);
            if let Err(failure) = self.session.launch(&self.name, &self.args, offset, global, local)
            {
                let mut error = self.session.error(failure);
                if let TensorError::Device { reason, .. } | TensorError::DeviceLost { reason, .. } =
                    &mut error
                {
                    *reason = format!("kernel {}: {reason}", self.name);
                }
                return Outcome(Err(error));
            }
        }
        Outcome(Ok(()))
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
    use crate::Kind;

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
