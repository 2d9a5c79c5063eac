//! The backend: every primitive by its kernel.

use std::marker::PhantomData;
use std::sync::Arc;

use rayon::prelude::*;

use super::fill::{CHUNK, filled, for_chunks, read, scratch, wide, wrap, write};
use super::machine::machine_memory;
use super::pool::Storage;
use super::scalar::CpuScalar;
use super::{array, kernel, normalize, picks, select, softmax, window};
use crate::backend::unfolded_products;
use crate::{
    AxisPicks, Backend, Binary, Buffer, ConvDims, ConvWeights, DType, Error, Gemm, HostVec, Index,
    PositionPairs, Reduce, Shape, Unary, Window,
};

/// The host as a device. Uses the current `rayon` pool; the results do not depend on its size.
///
/// The memory of large arrays is kept for the next ones, within the most that was ever in use at
/// once, until [`release_memory`](Cpu::release_memory).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu<E>(PhantomData<E>);

impl<E: CpuScalar> Cpu<E> {
    /// The CPU backend.
    pub const fn new() -> Self {
        Cpu(PhantomData)
    }

    /// Returns the memory that dropped arrays of this element type have left to the operating
    /// system; gives the number of bytes.
    pub fn release_memory(&self) -> usize {
        E::pool().release()
    }
}

/// The indices in host memory.
///
/// # Panics
/// If they are another backend's.
#[track_caller]
fn indices(index: &Index) -> &[u32] {
    match index.memory::<Storage<u32>>() {
        Some(indices) => indices,
        None => panic!("indices of another backend where the CPU's are needed"),
    }
}

impl<E: CpuScalar> Backend for Cpu<E> {
    fn name(&self) -> String {
        format!("CPU ({}, {} threads)", E::NAME, rayon::current_num_threads())
    }

    fn memory(&self) -> Option<usize> {
        Some(machine_memory())
    }

    fn dtype(&self) -> DType {
        E::DTYPE
    }

    fn with_dtype(&self, dtype: DType) -> Result<Arc<dyn Backend>, Error> {
        Ok(match dtype {
            DType::F32 => Arc::new(Cpu::<f32>::new()),
            DType::F64 => Arc::new(Cpu::<f64>::new()),
        })
    }

    fn upload(&self, data: HostVec) -> Buffer {
        wrap(Storage::from(data.into_vec::<E>()))
    }

    fn upload_index(&self, data: Vec<u32>) -> Index {
        Index::new(Arc::new(Storage::from(data)))
    }

    fn download(&self, buf: &Buffer) -> Result<HostVec, Error> {
        Ok(E::into_host(read::<E>(buf).to_vec()))
    }

    fn fill(&self, len: usize, value: f64) -> Buffer {
        let value = E::of(value);
        wrap(filled(
            len,
            1,
            #[inline(always)]
            |_, out| out.fill(value),
        ))
    }

    fn scratch(&self, len: usize) -> Buffer {
        wrap(scratch::<E>(len))
    }

    fn eye(&self, n: usize) -> Buffer {
        wrap(filled(
            n * n,
            n,
            #[inline(always)]
            |first, out| {
                for (i, row) in out.chunks_exact_mut(n).enumerate() {
                    row.fill(E::zero());
                    row[first / n + i] = E::one();
                }
            },
        ))
    }

    fn concat(&self, parts: &[&Buffer], outer: usize) -> Buffer {
        let parts: Vec<&[E]> = parts.iter().map(|part| read(part)).collect();
        wrap(array::concat(&parts, outer))
    }

    fn copy_strided(&self, x: &Buffer, shape: &Shape, strides: &[usize]) -> Buffer {
        wrap(array::copy_strided::<E>(read(x), shape, strides))
    }

    fn index_select(
        &self,
        x: &Buffer,
        _outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> Buffer {
        let (x, picked) = (read::<E>(x), pick.len() * inner);
        wrap(filled(
            x.len() / (axis * inner).max(1) * picked,
            inner,
            #[inline(always)]
            |first, out| {
                for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
                    let row = first / inner + i;
                    let from = (row / pick.len() * axis + pick[row % pick.len()]) * inner;
                    out.copy_from_slice(&x[from..from + inner]);
                }
            },
        ))
    }

    fn pad(&self, x: &Buffer, shape: &Shape, pads: &[(isize, isize)]) -> Buffer {
        wrap(array::pad::<E>(read(x), shape, pads))
    }

    fn unary(&self, f: Unary, x: &Buffer) -> Buffer {
        wrap(array::unary::<E>(f, read(x)))
    }

    fn unary_chain(&self, f: Unary, x: &Buffer, y: &Buffer, mat: &Buffer) -> Buffer {
        wrap(array::unary_chain::<E>(f, read(x), read(y), read(mat)))
    }

    fn unary_second(&self, f: Unary, x: &Buffer, y: &Buffer) -> Buffer {
        wrap(array::unary_second::<E>(f, read(x), read(y)))
    }

    fn binary(&self, f: Binary, a: (&Buffer, &Shape), b: (&Buffer, &Shape), out: &Shape) -> Buffer {
        wrap(array::binary::<E>(f, (read(a.0), a.1), (read(b.0), b.1), out))
    }

    fn select(
        &self,
        mask: (&Buffer, &Shape),
        a: (&Buffer, &Shape),
        b: (&Buffer, &Shape),
        out: &Shape,
    ) -> Buffer {
        let [mask, a, b] = [mask, a, b].map(|(buf, shape)| (read::<E>(buf), shape));
        wrap(select::select(mask, a, b, out))
    }

    fn axpy(&self, alpha: f64, x: &Buffer, y: &mut Buffer) {
        let (alpha, x) = (E::of(alpha), read::<E>(x));
        for_chunks(
            write::<E>(y),
            1,
            #[inline(always)]
            |first, y| {
                let len = y.len();
                y.iter_mut().zip(&x[first..first + len]).for_each(|(y, x)| *y += alpha * *x);
            },
        );
    }

    fn add_part(&self, x: &Buffer, y: &mut Buffer, outer: usize, first: usize) {
        array::add_part::<E>(read(x), write(y), outer, first);
    }

    fn reduce(&self, f: Reduce, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer {
        wrap(array::reduce::<E>(f, read(x), outer, axis, inner))
    }

    fn gemm(&self, g: &Gemm, a: &Buffer, b: &Buffer, c: &mut Buffer) {
        kernel::gemm::<E>(g, read(a), read(b), write(c));
    }

    fn syrk(&self, r: usize, d: usize, a: &Buffer, c: &mut Buffer) {
        array::syrk::<E>(r, d, read(a), write(c));
    }

    fn add_tiled_product(
        &self,
        acc: &mut Buffer,
        x: &Buffer,
        (rows, cols): (usize, usize),
        y: &Buffer,
        (m, n): (usize, usize),
    ) {
        let (x, y) = (read::<E>(x), read::<E>(y));
        debug_assert_eq!(x.len(), rows * cols);
        for_chunks(
            write::<E>(acc),
            cols,
            #[inline(always)]
            |first, acc| {
                for (i, acc) in acc.chunks_exact_mut(cols).enumerate() {
                    let row = first / cols + i;
                    let y = &y[row % m * n..][..n];
                    for (acc, x) in
                        acc.chunks_exact_mut(n).zip(x[row * cols..][..cols].chunks_exact(n))
                    {
                        acc.iter_mut()
                            .zip(x.iter().zip(y))
                            .for_each(|(acc, (x, y))| *acc += *x * *y);
                    }
                }
            },
        );
    }

    fn unfold(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        wrap(window::unfold::<E>(read(x), planes, w))
    }

    fn unfold_windows(&self, x: &Buffer, n: usize, c: usize, w: &Window) -> Buffer {
        wrap(window::unfold_windows::<E>(read(x), n, c, w))
    }

    fn fold(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        wrap(window::fold::<E>(read(x), planes, w))
    }

    fn argmax(&self, x: &Buffer, planes: usize, w: &Window) -> Index {
        Index::new(Arc::new(window::argmax::<E>(read(x), planes, w)))
    }

    fn gather(&self, x: &Buffer, index: &Index, planes: usize, w: &Window) -> Buffer {
        wrap(window::take::<E>(read(x), indices(index), planes, w))
    }

    fn scatter_add(&self, x: &Buffer, index: &Index, planes: usize, w: &Window) -> Buffer {
        wrap(window::put::<E>(read(x), indices(index), planes, w))
    }

    fn positions(&self, x: &Buffer, axes: &[usize]) -> Index {
        Index::new(Arc::new(picks::positions::<E>(read(x), axes)))
    }

    fn gather_axis(&self, x: &Buffer, index: &Index, p: &AxisPicks) -> Buffer {
        p.check(Some(x.len()), None, indices(index).len());
        wrap(picks::gather::<E>(read(x), indices(index), p))
    }

    fn scatter_axis(&self, y: &Buffer, index: &Index, p: &AxisPicks) -> Buffer {
        p.check(None, Some(y.len()), indices(index).len());
        wrap(picks::scatter::<E>(read(y), indices(index), p))
    }

    fn first_equal(&self, index: &Index, len: usize) -> Index {
        Index::new(Arc::new(picks::first_equal(indices(index), len)))
    }

    fn cumsum(&self, x: &Buffer, shape: [usize; 3], exclusive: bool, reverse: bool) -> Buffer {
        wrap(picks::cumsum::<E>(read(x), shape, exclusive, reverse))
    }

    fn translate_index(
        &self,
        index: &Index,
        entries: usize,
        from: [usize; 3],
        first: [isize; 3],
        to: [usize; 3],
    ) -> Option<(Index, Buffer)> {
        let index = &indices(index)[..entries];
        let (moved, inside) = window::move_index::<E>(index, from, first, to);
        Some((Index::new(Arc::new(moved)), wrap(inside)))
    }

    fn add_position_pairs(
        &self,
        pairs: &PositionPairs,
        k: &Buffer,
        left: &Buffer,
        right: &Buffer,
        c: &mut Buffer,
    ) -> bool {
        kernel::pairs::add::<E>(pairs, read(k), read(left), read(right), write(c))
    }

    fn window_sum(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        wrap(window::sum::<E>(read(x), planes, w))
    }

    fn window_spread(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        wrap(window::spread::<E>(read(x), planes, w))
    }

    fn conv(&self, x: &Buffer, w: &Buffer, n: usize, dims: ConvDims, window: &Window) -> Buffer {
        wrap(window::conv::<E>(read(x), read(w), n, dims, window))
    }

    fn conv_transposed(
        &self,
        y: &Buffer,
        w: &Buffer,
        n: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> Buffer {
        wrap(window::conv_transposed::<E>(read(y), read(w), n, dims, window))
    }

    fn conv_weights(&self, p: &ConvWeights, s: &Buffer, x: &Buffer) -> Buffer {
        wrap(window::conv_weights::<E>(p, read(s), read(x)))
    }

    fn window_products(
        &self,
        x: &Buffer,
        y: &Buffer,
        samples: [usize; 2],
        channels: [usize; 2],
        window: &Window,
    ) -> Buffer {
        let met = window::window_products::<E>(read(x), read(y), samples, channels, window);
        met.map_or_else(|| unfolded_products(self, x, y, samples, channels, window), wrap)
    }

    fn softmax(&self, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer {
        wrap(softmax::softmax::<E>(read(x), [outer, axis, inner]))
    }

    fn softmax_chain(
        &self,
        p: &Buffer,
        mat: &mut Buffer,
        _outer: usize,
        axis: usize,
        inner: usize,
    ) {
        softmax::chain::<E>(read(p), write(mat), [axis, inner]);
    }

    fn normalize(&self, x: &Buffer, block: usize, centre: bool, epsilon: f64) -> Buffer {
        wrap(normalize::normalize::<E>(read(x), block, centre, E::of(epsilon)))
    }

    fn inverse_deviations(&self, x: &Buffer, block: usize, centre: bool, epsilon: f64) -> Buffer {
        wrap(normalize::inverse_deviations::<E>(read(x), block, centre, E::of(epsilon)))
    }

    fn normalize_chain(
        &self,
        normal: &Buffer,
        inverse: &Buffer,
        mat: &Buffer,
        block: usize,
        centre: bool,
    ) -> Buffer {
        wrap(normalize::chain::<E>(read(normal), read(inverse), read(mat), block, centre))
    }

    fn one_hot(&self, ids: &Buffer, classes: usize) -> Buffer {
        let ids = read::<E>(ids);
        wrap(filled(
            ids.len() * classes,
            classes,
            #[inline(always)]
            |first, out| {
                for (i, out) in out.chunks_exact_mut(classes.max(1)).enumerate() {
                    out.fill(E::zero());
                    out[ids[first / classes + i].f64() as usize] = E::one();
                }
            },
        ))
    }

    fn first_non_finite(&self, x: &Buffer) -> Result<Option<usize>, Error> {
        let x = read::<E>(x);
        // 0·x is 0 for every finite x and NaN otherwise: one pass when all is well, in sums side by
        // side that vectors can hold.
        let clean = |part: &[E]| {
            wide(
                #[inline(always)]
                || {
                    let mut sums = [E::zero(); 64];
                    let parts = part.chunks_exact(sums.len());
                    let rest =
                        parts.remainder().iter().fold(E::zero(), |sum, &e| sum + e * E::zero());
                    for part in parts {
                        sums.iter_mut().zip(part).for_each(|(sum, &e)| *sum += e * E::zero());
                    }
                    sums.into_iter().fold(rest, |sum, e| sum + e) == E::zero()
                },
            )
        };
        let parts: Vec<bool> = if x.len() <= CHUNK {
            vec![clean(x)]
        } else {
            x.par_chunks(CHUNK).map(clean).collect()
        };
        Ok(parts.iter().position(|clean| !clean).and_then(|part| {
            let start = part * CHUNK;
            x[start..].iter().position(|e| !e.is_finite()).map(|at| start + at)
        }))
    }
}
