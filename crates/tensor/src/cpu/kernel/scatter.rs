//! The transposed convolution of columns that are zero at the same places: each window's share goes
//! straight to where it belongs.
//!
//! Columns are the rows of a tile, in-channels its columns; a step is an out-channel in which some
//! column is not zero at the window. The image under way has channels innermost and is turned once
//! it is done: nothing is unfolded, and nothing is folded.

use std::ops::Range;

use rayon::prelude::*;

use super::pack::{panel, transposes, with_buffers};
use super::sparse::{MIN_ITEMS, nonzero, sum_magnitudes};
use super::tile::{Kernel, Shared, Tile, tile_rows};
use crate::ConvDims;
use crate::cpu::pool::Storage;
use crate::cpu::runs::Run;
use crate::cpu::scalar::CpuScalar;
use crate::shape::{checked_size, last_position};

/// Minimum in-channels of a group for which a tile is worth while. Not measured.
const MIN_IN_CHANNELS: usize = 8;
/// Minimum out-channels of a group for which lists are worth while. Not measured.
const MIN_OUT_CHANNELS: usize = 4;
/// Maximum numbers of an image under way. Not measured.
const MAX_IMAGE_ENTRIES: usize = 1 << 20;
/// Maximum numbers that are listed of one sample and group. Not measured.
const MAX_LISTED_ENTRIES: usize = 1 << 21;

/// Lengths: what the windows are, whatever they look at.
pub struct Windows<'r> {
    /// Kernel elements.
    pub kernel: usize,
    /// Windows.
    pub windows: usize,
    /// Entries of a plane of the image.
    pub plane: usize,
    /// What they see, kernel element by kernel element.
    pub runs: &'r [Run],
    /// The distance of what neighbours see.
    pub step: usize,
}

/// `y: [columns, n, groups·o, windows]` and `w: [groups·o, c, kernel]` to `[columns, n, groups·c,
/// plane]`; `None` if it is not one that gains.
pub fn conv_transposed<E: CpuScalar>(
    y: &[E],
    w: &[E],
    [columns, n]: [usize; 2],
    dims: ConvDims,
    windows: &Windows<'_>,
) -> Option<Storage<E>> {
    let kernel = E::kernel()?;
    let (ConvDims { groups, c, o }, cols, height) =
        (dims, 2 * Kernel::<E>::LANES, tile_rows(columns));
    let Windows { windows: t, plane, .. } = *windows;
    let listed = checked_size(&[height, o, t]).filter(|&room| room <= MAX_LISTED_ENTRIES);
    let image = checked_size(&[height, plane, cols]).filter(|&room| room <= MAX_IMAGE_ENTRIES);
    let room = [listed?, image?];
    if columns < MIN_ITEMS || c < MIN_IN_CHANNELS || o < MIN_OUT_CHANNELS || !transposes() {
        return None;
    }
    check(y, w, [columns, n], dims, windows);
    let size = checked_size(&[columns, n, groups, c, plane]).expect("the image fits the memory");
    let mut out: Storage<E> = Storage::stale(size);
    let job = Job {
        kernel,
        y,
        panels: &packed(w, dims, windows.kernel, cols),
        samples: n,
        dims,
        windows,
        to: Shared::new(out.as_mut_ptr()),
    };
    let tiles = columns.div_ceil(height);
    (0..n * tiles).into_par_iter().for_each(|at| {
        let (sample, first) = (at / tiles, at % tiles * height);
        let rows = first..(first + height).min(columns);
        with_buffers(room, |entries: *mut E, image: *mut E| {
            let mut lists = Lists::default();
            for group in 0..groups {
                // SAFETY: there is room for every entry of these columns and for `plane` places of
                // all columns and channels of a tile; the planes of the output that they go to are
                // this task's own.
                unsafe { job.run(sample, group, rows.clone(), &mut lists, entries, image) };
            }
        });
    });
    Some(out)
}

/// Panics if the arrays are too short, or the windows outside their plane.
fn check<E>(y: &[E], w: &[E], [columns, n]: [usize; 2], dims: ConvDims, windows: &Windows<'_>) {
    let (ConvDims { groups, c, o }, t) = (dims, windows.windows);
    let holds = |len: usize, axes: &[usize]| checked_size(axes).is_some_and(|size| size <= len);
    assert!(
        holds(y.len(), &[columns, n, groups, o, t])
            && holds(w.len(), &[groups, o, c, windows.kernel]),
        "transposed convolution of {} entries with {} weights",
        y.len(),
        w.len()
    );
    let inside = |first: usize, len: usize, step: usize, end: usize| {
        last_position(first, [(len, step)]).is_some_and(|last| last < end)
    };
    assert!(
        windows.runs.iter().all(|run| run.k < windows.kernel
            && inside(run.first, run.len, 1, t)
            && inside(run.at, run.len, windows.step, windows.plane)),
        "windows outside their plane"
    );
}

/// One transposed convolution.
struct Job<'j, E: 'static> {
    kernel: &'static Kernel<E>,
    y: &'j [E],
    /// The weights as [`packed`] lays them out.
    panels: &'j [E],
    samples: usize,
    dims: ConvDims,
    windows: &'j Windows<'j>,
    to: Shared<E>,
}

impl<E: CpuScalar> Job<'_, E> {
    /// Some columns of one sample and group.
    ///
    /// # Safety
    /// `entries` must have room for all entries of the columns, `image` for a tile of channels of
    /// each of their planes, and the output's planes of the columns must be the caller's own; the
    /// processor must have the kernel's instructions.
    #[inline]
    unsafe fn run(
        &self,
        sample: usize,
        group: usize,
        rows: Range<usize>,
        lists: &mut Lists,
        entries: *mut E,
        image: *mut E,
    ) {
        let ConvDims { groups, c, o } = self.dims;
        let Windows { kernel, windows: t, plane, .. } = *self.windows;
        let cols = 2 * Kernel::<E>::LANES;
        let place = |column: usize, channels: usize| {
            ((column * self.samples + sample) * groups + group) * channels
        };
        let columns = Columns {
            y: self.y,
            at: place(rows.start, o) * t,
            distance: self.samples * groups * o * t,
            count: rows.len(),
        };
        // SAFETY: there is room, as the caller promises.
        unsafe { lists.fill(&columns, o, t, cols, entries) };
        for (tile, channel) in (0..c).step_by(cols).enumerate() {
            let width = cols.min(c - channel);
            let panels = &self.panels[(group * c.div_ceil(cols) + tile) * kernel * o * cols..];
            // SAFETY: the lists are those of these columns, the panels of these channels.
            unsafe {
                let (kernel, windows) = (self.kernel, self.windows);
                lists.spread(kernel, entries, rows.len(), panels, width, windows, o, image);
            }
            for (row, column) in rows.clone().enumerate() {
                // SAFETY: the image holds this column's plane; its place is inside the output.
                unsafe {
                    let to = self.to.get().add((place(column, c) + channel) * plane);
                    let from = image.add(row * cols).cast_const();
                    panel(from, [rows.len() * cols, 1], [plane, width], to, plane);
                }
            }
        }
    }
}

/// `w: [groups, o, c, kernel]` as `[groups, tiles of c, kernel, o, cols]`, the last tile filled up
/// with zeros.
fn packed<E: CpuScalar>(
    w: &[E],
    ConvDims { groups, c, o }: ConvDims,
    kernel: usize,
    cols: usize,
) -> Vec<E> {
    let tiles = c.div_ceil(cols);
    let mut panels = vec![E::zero(); groups * tiles * kernel * o * cols];
    for (row, w) in w.chunks_exact(c * kernel).take(groups * o).enumerate() {
        let (group, out) = (row / o, row % o);
        for (channel, w) in w.chunks_exact(kernel).enumerate() {
            let at = (group * tiles + channel / cols) * kernel;
            for (k, w) in w.iter().enumerate() {
                panels[((at + k) * o + out) * cols + channel % cols] = *w;
            }
        }
    }
    panels
}

/// Some columns of one sample and group: `count` times `[o, windows]`.
struct Columns<'y, E> {
    y: &'y [E],
    at: usize,
    distance: usize,
    count: usize,
}

/// Per window, the out-channels in which some column is not zero.
#[derive(Default)]
struct Lists {
    /// Where each window's list begins, and behind the last one its end.
    starts: Vec<usize>,
    /// Per step: the distance of its row of weights, in bytes.
    rows: Vec<u32>,
    /// Where the next step of each window goes.
    next: Vec<usize>,
}

impl Lists {
    /// Lists the steps of all windows, and writes the columns' entries, step by step.
    ///
    /// # Safety
    /// `entries` must have room for all entries of the columns.
    unsafe fn fill<E: CpuScalar>(
        &mut self,
        columns: &Columns<'_, E>,
        o: usize,
        t: usize,
        cols: usize,
        entries: *mut E,
    ) {
        let Columns { y, at, distance, count } = *columns;
        let mut scan = vec![E::zero(); o * t];
        sum_magnitudes(y, at, distance, count, &mut scan);
        self.next.clear();
        self.next.resize(t, 0);
        for scan in scan.chunks_exact(t) {
            self.next
                .iter_mut()
                .zip(scan)
                .for_each(|(count, sum)| *count += usize::from(*sum != E::zero()));
        }
        self.starts.clear();
        let mut total = 0;
        for count in &mut self.next {
            self.starts.push(total);
            total += std::mem::replace(count, total);
        }
        self.starts.push(total);
        self.rows.resize(total, 0);
        let mut picks = vec![0; t];
        for (out, scan) in scan.chunks_exact(t).enumerate() {
            let count_here = nonzero(scan, 0, &mut picks);
            for &window in &picks[..count_here] {
                let step = self.next[window];
                self.next[window] += 1;
                self.rows[step] = (out * cols * size_of::<E>()) as u32;
                let from = at + out * t + window;
                for column in 0..count {
                    // SAFETY: there are at most `o · t` steps.
                    unsafe { *entries.add(step * count + column) = y[from + column * distance] };
                }
            }
        }
    }

    /// Writes `image: [plane, rows, cols]`: what all windows send to some in-channels.
    ///
    /// # Safety
    /// `image` must be valid, `entries` what `fill` wrote for so many rows and `panels` the weights
    /// of these channels; the processor must have the kernel's instructions.
    unsafe fn spread<E: CpuScalar>(
        &self,
        kernel: &Kernel<E>,
        entries: *const E,
        rows: usize,
        panels: &[E],
        width: usize,
        windows: &Windows<'_>,
        o: usize,
        image: *mut E,
    ) {
        let cols = 2 * Kernel::<E>::LANES;
        let (kind, mask) = kernel.kind(width);
        let run = kernel.picking[rows - 1][kind];
        // SAFETY: the image is valid for writing, and any bits are numbers.
        unsafe { std::ptr::write_bytes(image, 0, windows.plane * rows * cols) };
        for &Run { k, first, len, at } in windows.runs {
            let panel = panels[k * o * cols..][..o * cols].as_ptr();
            for (neighbour, bounds) in self.starts[first..=first + len].windows(2).enumerate() {
                let (start, count) = (bounds[0], bounds[1] - bounds[0]);
                if count == 0 {
                    continue;
                }
                // SAFETY: a list of this window, and a place of the image.
                unsafe {
                    let tile = Tile {
                        k: count,
                        a: entries.add(start * rows),
                        a_row: size_of::<E>(),
                        a_step: rows * size_of::<E>(),
                        b: panel,
                        b_step: 0,
                        c: image.add((at + neighbour * windows.step) * rows * cols),
                        c_row: cols * size_of::<E>(),
                        add: 1,
                        mask,
                        alpha: E::one(),
                        rows: self.rows.as_ptr().add(start),
                        ahead: 0,
                    };
                    run(&tile);
                }
            }
        }
    }
}
