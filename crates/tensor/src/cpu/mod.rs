//! The CPU backend: `matrixmultiply` for products, `rayon` for threads.

mod array;
pub(crate) mod kernel;
pub(crate) mod pool;
mod runs;
mod window;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use sysinfo::System;

pub use kernel::gemm;
use pool::Storage;

use crate::backend::unfolded_products;
use crate::{
    Backend, Binary, ConvDims, ConvWeights, Error, Gemm, PositionPairs, Reduce, Scalar, Shape,
    Unary, Window,
};

/// The host as a device. Uses the current `rayon` pool; the results do not depend on its size.
///
/// The memory of large arrays is kept for the next ones, within the most that was ever in use at
/// once, until [`release_memory`](Cpu::release_memory).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu<E>(PhantomData<E>);

impl<E: Scalar> Cpu<E> {
    /// The CPU backend.
    pub fn new() -> Self {
        Cpu(PhantomData)
    }

    /// Returns the memory that dropped arrays of this element type have left to the operating
    /// system; gives the number of bytes.
    pub fn release_memory(&self) -> usize {
        E::pool().release()
    }
}

/// Bytes of memory that the machine has, or the container.
fn machine_memory() -> usize {
    static MEMORY: OnceLock<usize> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let mut system = System::new();
        system.refresh_memory();
        let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
        usize::try_from(system.total_memory().min(group)).unwrap_or(usize::MAX)
    })
}

/// A shared range of host memory.
#[derive(Clone)]
pub struct CpuBuf<E: Scalar> {
    data: Arc<Storage<E>>,
    start: usize,
    len: usize,
}

impl<E: Scalar> Debug for CpuBuf<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuBuf({} elements)", self.len)
    }
}

impl<E: Scalar> From<Vec<E>> for CpuBuf<E> {
    fn from(data: Vec<E>) -> Self {
        Storage::from(data).into()
    }
}

impl<E: Scalar> From<Storage<E>> for CpuBuf<E> {
    fn from(data: Storage<E>) -> Self {
        CpuBuf { start: 0, len: data.len(), data: Arc::new(data) }
    }
}

impl<E: Scalar> Deref for CpuBuf<E> {
    type Target = [E];
    #[inline]
    fn deref(&self) -> &[E] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<E: Scalar> CpuBuf<E> {
    /// The elements for writing; copies first if the memory is shared.
    fn to_mut(&mut self) -> &mut [E] {
        if Arc::get_mut(&mut self.data).is_none() {
            *self = filled(self.len, 1, |first, copy| {
                copy.copy_from_slice(&self[first..first + copy.len()])
            });
        }
        let data = Arc::get_mut(&mut self.data).expect("unshared just now");
        &mut data[self.start..self.start + self.len]
    }
}

/// Shared indices in host memory.
#[derive(Clone)]
pub struct CpuIndex(Arc<Storage<u32>>);

impl Debug for CpuIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuIndex({} indices)", self.0.len())
    }
}

/// Elements per task of a loop that does little per element.
const CHUNK: usize = 1 << 14;

/// Fills a new buffer chunk by chunk: `fill(first position, chunk)`; in parallel when there is
/// enough of it. A chunk holds anything before, and `fill` overwrites all of it.
fn filled<E: Scalar>(len: usize, chunk: usize, fill: impl Fn(usize, &mut [E]) + Sync) -> CpuBuf<E> {
    let mut out = scratch(len);
    for_chunks(&mut out, chunk, fill);
    out.into()
}

/// Memory for `len` elements, whatever it holds; nothing that makes sense in a debug build.
fn scratch<E: Scalar>(len: usize) -> Storage<E> {
    let mut out = Storage::stale(len);
    if cfg!(debug_assertions) {
        out.fill(E::nan());
    }
    out
}

/// Visits `out` in chunks of whole multiples of `chunk`, in parallel when there is enough of it.
fn for_chunks<E: Scalar>(out: &mut [E], chunk: usize, fill: impl Fn(usize, &mut [E]) + Sync) {
    let chunk = chunk.max(1) * (CHUNK / chunk.max(1)).max(1);
    if out.len() <= chunk {
        if !out.is_empty() {
            wide(|| fill(0, out));
        }
    } else {
        out.par_chunks_mut(chunk)
            .enumerate()
            .for_each(|(at, part)| wide(|| fill(at * chunk, part)));
    }
}

/// Runs a loop that the compiler vectorises with the widest vectors of this machine that it knows;
/// the same bits with any.
#[inline(always)]
fn wide<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

impl<E: Scalar> Backend for Cpu<E> {
    type Elem = E;
    type Buf = CpuBuf<E>;
    type Index = CpuIndex;

    fn device(&self) -> String {
        format!("CPU ({}, {} threads)", E::NAME, rayon::current_num_threads())
    }

    fn memory(&self) -> Option<usize> {
        Some(machine_memory())
    }

    fn same(&self, a: &CpuBuf<E>, b: &CpuBuf<E>) -> bool {
        Arc::ptr_eq(&a.data, &b.data) && (a.start, a.len) == (b.start, b.len)
    }

    fn len(&self, buf: &CpuBuf<E>) -> usize {
        buf.len
    }

    fn upload(&self, data: Vec<E>) -> CpuBuf<E> {
        data.into()
    }

    fn upload_index(&self, data: Vec<u32>) -> CpuIndex {
        CpuIndex(Arc::new(data.into()))
    }

    fn download(&self, buf: &CpuBuf<E>) -> Result<Vec<E>, Error> {
        Ok(buf.to_vec())
    }

    fn fill(&self, len: usize, value: E) -> CpuBuf<E> {
        filled(len, 1, |_, out| out.fill(value))
    }

    fn scratch(&self, len: usize) -> CpuBuf<E> {
        scratch(len).into()
    }

    fn slice(&self, x: &CpuBuf<E>, range: Range<usize>) -> CpuBuf<E> {
        assert!(
            range.start <= range.end && range.end <= x.len,
            "slice {range:?} of {} elements",
            x.len
        );
        CpuBuf { data: Arc::clone(&x.data), start: x.start + range.start, len: range.len() }
    }

    fn copy_strided(&self, x: &CpuBuf<E>, shape: &Shape, strides: &[usize]) -> CpuBuf<E> {
        array::copy_strided(x, shape, strides)
    }

    fn select(
        &self,
        x: &CpuBuf<E>,
        _outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> CpuBuf<E> {
        let (x, picked) = (&**x, pick.len() * inner);
        filled(x.len() / (axis * inner).max(1) * picked, inner, |first, out| {
            for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
                let row = first / inner + i;
                let from = (row / pick.len() * axis + pick[row % pick.len()]) * inner;
                out.copy_from_slice(&x[from..from + inner]);
            }
        })
    }

    fn pad(&self, x: &CpuBuf<E>, shape: &Shape, pads: &[(isize, isize)]) -> CpuBuf<E> {
        array::pad(x, shape, pads)
    }

    fn unary(&self, f: Unary, x: &CpuBuf<E>) -> CpuBuf<E> {
        array::unary(f, x)
    }

    fn unary_chain(&self, f: Unary, x: &CpuBuf<E>, y: &CpuBuf<E>, mat: &CpuBuf<E>) -> CpuBuf<E> {
        array::unary_chain(f, x, y, mat)
    }

    fn unary_second(&self, f: Unary, x: &CpuBuf<E>, y: &CpuBuf<E>) -> CpuBuf<E> {
        array::unary_second(f, x, y)
    }

    fn binary(
        &self,
        f: Binary,
        a: (&CpuBuf<E>, &Shape),
        b: (&CpuBuf<E>, &Shape),
        out: &Shape,
    ) -> CpuBuf<E> {
        array::binary(f, a, b, out)
    }

    fn axpy(&self, alpha: f64, x: &CpuBuf<E>, y: &mut CpuBuf<E>) {
        let (alpha, x) = (E::of(alpha), &**x);
        for_chunks(y.to_mut(), 1, |first, y| {
            let len = y.len();
            y.iter_mut().zip(&x[first..first + len]).for_each(|(y, x)| *y += alpha * *x);
        });
    }

    fn reduce(
        &self,
        f: Reduce,
        x: &CpuBuf<E>,
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> CpuBuf<E> {
        array::reduce(f, x, outer, axis, inner)
    }

    fn gemm(&self, g: &Gemm, a: &CpuBuf<E>, b: &CpuBuf<E>, c: &mut CpuBuf<E>) {
        gemm(g, a, b, c.to_mut());
    }

    fn syrk(&self, r: usize, d: usize, a: &CpuBuf<E>, c: &mut CpuBuf<E>) {
        array::syrk(r, d, a, c.to_mut());
    }

    fn add_tiled_product(
        &self,
        acc: &mut CpuBuf<E>,
        x: &CpuBuf<E>,
        (rows, cols): (usize, usize),
        y: &CpuBuf<E>,
        (m, n): (usize, usize),
    ) {
        let (x, y) = (&**x, &**y);
        debug_assert_eq!(x.len(), rows * cols);
        for_chunks(acc.to_mut(), cols, |first, acc| {
            for (i, acc) in acc.chunks_exact_mut(cols).enumerate() {
                let row = first / cols + i;
                let y = &y[row % m * n..][..n];
                for (acc, x) in acc.chunks_exact_mut(n).zip(x[row * cols..][..cols].chunks_exact(n))
                {
                    acc.iter_mut().zip(x.iter().zip(y)).for_each(|(acc, (x, y))| *acc += *x * *y);
                }
            }
        });
    }

    fn unfold(&self, x: &CpuBuf<E>, planes: usize, w: &Window) -> CpuBuf<E> {
        window::unfold(x, planes, w)
    }

    fn unfold_windows(&self, x: &CpuBuf<E>, n: usize, c: usize, w: &Window) -> CpuBuf<E> {
        window::unfold_windows(x, n, c, w)
    }

    fn fold(&self, x: &CpuBuf<E>, planes: usize, w: &Window) -> CpuBuf<E> {
        window::fold(x, planes, w)
    }

    fn argmax(&self, x: &CpuBuf<E>, planes: usize, w: &Window) -> CpuIndex {
        CpuIndex(Arc::new(window::argmax(x, planes, w)))
    }

    fn take(&self, x: &CpuBuf<E>, index: &CpuIndex, planes: usize, w: &Window) -> CpuBuf<E> {
        window::take(x, &index.0, planes, w)
    }

    fn put(&self, x: &CpuBuf<E>, index: &CpuIndex, planes: usize, w: &Window) -> CpuBuf<E> {
        window::put(x, &index.0, planes, w)
    }

    fn move_index(
        &self,
        index: &CpuIndex,
        entries: usize,
        from: [usize; 3],
        first: [isize; 3],
        to: [usize; 3],
    ) -> Option<(CpuIndex, CpuBuf<E>)> {
        let (moved, inside) = window::move_index(&index.0[..entries], from, first, to);
        Some((CpuIndex(Arc::new(moved)), inside))
    }

    fn add_position_pairs(
        &self,
        pairs: &PositionPairs,
        k: &CpuBuf<E>,
        left: &CpuBuf<E>,
        right: &CpuBuf<E>,
        c: &mut CpuBuf<E>,
    ) -> bool {
        kernel::pairs::add(pairs, k, left, right, c.to_mut())
    }

    fn window_sum(&self, x: &CpuBuf<E>, planes: usize, w: &Window) -> CpuBuf<E> {
        window::sum(x, planes, w)
    }

    fn window_spread(&self, x: &CpuBuf<E>, planes: usize, w: &Window) -> CpuBuf<E> {
        window::spread(x, planes, w)
    }

    fn conv(
        &self,
        x: &CpuBuf<E>,
        w: &CpuBuf<E>,
        n: usize,
        dims: ConvDims,
        window: &Window,
    ) -> CpuBuf<E> {
        window::conv(x, w, n, dims, window)
    }

    fn conv_transposed(
        &self,
        y: &CpuBuf<E>,
        w: &CpuBuf<E>,
        n: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> CpuBuf<E> {
        window::conv_transposed(y, w, n, dims, window)
    }

    fn conv_weights(&self, p: &ConvWeights, s: &CpuBuf<E>, x: &CpuBuf<E>) -> CpuBuf<E> {
        window::conv_weights(p, s, x)
    }

    fn window_products(
        &self,
        x: &CpuBuf<E>,
        y: &CpuBuf<E>,
        samples: [usize; 2],
        channels: [usize; 2],
        window: &Window,
    ) -> CpuBuf<E> {
        let met = window::window_products(x, y, samples, channels, window);
        met.unwrap_or_else(|| unfolded_products(self, x, y, samples, channels, window))
    }

    fn lookup(
        &self,
        table: &CpuBuf<E>,
        ids: &CpuBuf<E>,
        (rows, width): (usize, usize),
    ) -> CpuBuf<E> {
        let (table, ids) = (&**table, &**ids);
        filled(ids.len() * width, width, |first, out| {
            for (i, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                let row = ids[first / width + i].f64() as usize;
                assert!(row < rows, "row {row} of a table of {rows}");
                out.copy_from_slice(&table[row * width..][..width]);
            }
        })
    }

    fn one_hot(&self, ids: &CpuBuf<E>, classes: usize) -> CpuBuf<E> {
        let ids = &**ids;
        filled(ids.len() * classes, classes, |first, out| {
            for (i, out) in out.chunks_exact_mut(classes.max(1)).enumerate() {
                out.fill(E::zero());
                out[ids[first / classes + i].f64() as usize] = E::one();
            }
        })
    }

    fn first_non_finite(&self, x: &CpuBuf<E>) -> Result<Option<usize>, Error> {
        // 0·x is 0 for every finite x and NaN otherwise: one pass when all is well, in sums side by
        // side that vectors can hold.
        let clean = |part: &[E]| {
            wide(|| {
                let mut sums = [E::zero(); 64];
                let parts = part.chunks_exact(sums.len());
                let rest = parts.remainder().iter().fold(E::zero(), |sum, &e| sum + e * E::zero());
                for part in parts {
                    sums.iter_mut().zip(part).for_each(|(sum, &e)| *sum += e * E::zero());
                }
                sums.into_iter().fold(rest, |sum, e| sum + e) == E::zero()
            })
        };
        let parts: Vec<bool> =
            if x.len <= CHUNK { vec![clean(x)] } else { x.par_chunks(CHUNK).map(clean).collect() };
        Ok(parts.iter().position(|clean| !clean).and_then(|part| {
            let start = part * CHUNK;
            x[start..].iter().position(|e| !e.is_finite()).map(|at| start + at)
        }))
    }
}
