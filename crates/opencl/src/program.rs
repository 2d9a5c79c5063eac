//! The kernels, compiled for a device and a precision.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vivit_tensor::DType;

use crate::error::Error;
use crate::info::DeviceInfo;
use crate::launch::{Arg, Failure, Kernel, Program, Queue};

/// The kernels' source: what they share, then one part per family.
const SOURCE: [&str; 7] = [
    include_str!("prelude.cl"),
    include_str!("elementwise.cl"),
    include_str!("array.cl"),
    include_str!("picks.cl"),
    include_str!("reduce.cl"),
    include_str!("window.cl"),
    include_str!("product_lanes.cl"),
];
/// The tiled product; compiled for two sizes of tile.
const TILED_PRODUCT: &str = include_str!("product_tiles.cl");

/// The register tile of the product on cores: rows, and numbers in a vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    pub rows: usize,
    pub width: usize,
}

impl Lanes {
    /// The tile for vectors of that many numbers.
    fn of(native_width: usize, dtype: DType) -> Self {
        // 32 vector registers where vectors have 64 bytes, 16 elsewhere: two columns of vectors,
        // one row each less the operands.
        let bytes = native_width * dtype.size();
        let width = native_width.clamp(2, 16).next_power_of_two();
        Lanes { rows: if bytes >= 64 { 12 } else { 6 }, width }
    }
}

/// The kernels of a device in one precision.
pub(crate) struct Compiled {
    pub dtype: DType,
    pub lanes: Lanes,
    program: Program,
    /// Those that were used, by name.
    ready: Mutex<HashMap<String, Kernel>>,
}

impl Compiled {
    /// Compiles the kernels, for vectors of `native_width` numbers on cores.
    ///
    /// # Errors
    /// If the device can't compile them.
    pub fn new(
        queue: &Queue,
        info: &DeviceInfo,
        dtype: DType,
        native_width: usize,
    ) -> Result<Self, Error> {
        let lanes = Lanes::of(native_width, dtype);
        let tiles = |name: &str, per: usize| {
            format!(
                "#define PRODUCT {name}\n#define PER {per}\n{TILED_PRODUCT}\n#undef \
                 PRODUCT\n#undef PER\n#undef TILE\n"
            )
        };
        let source =
            [SOURCE.join("\n"), tiles("product_small_tiles", 4), tiles("product_large_tiles", 8)]
                .join("\n");
        let program = build(queue, info, &source, dtype, lanes)?;
        Ok(Compiled { dtype, lanes, program, ready: Mutex::default() })
    }

    /// Starts a kernel over `global` work-items, from `offset` on, in groups of `local`.
    pub fn launch(
        &self,
        queue: &Queue,
        name: &str,
        args: &[Arg<'_>],
        [offset, global, local]: [[usize; 2]; 3],
    ) -> Result<(), Failure> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains_key(name) {
            ready.insert(name.into(), queue.kernel(&self.program, name)?);
        }
        queue.launch(&ready[name], args, offset, global, local)
    }
}

/// Compiles a program for a device and a precision.
pub(crate) fn build(
    queue: &Queue,
    info: &DeviceInfo,
    source: &str,
    dtype: DType,
    lanes: Lanes,
) -> Result<Program, Error> {
    let Lanes { rows, width } = lanes;
    let (real, doubles) = match dtype {
        DType::F32 => ("float", ""),
        DType::F64 => ("double", " -D DOUBLE"),
    };
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
