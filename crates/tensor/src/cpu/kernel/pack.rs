//! Packing: panels of an operand, step after step, as the micro-kernels read them, and the buffers
//! that hold them.

use std::cell::Cell;
use std::ops::Range;

use crate::shape::{checked_size, last_position};

/// Elements that blocks of which can be transposed in registers.
pub trait Pack: Copy + Default {
    /// `to[k · width + i] = from[i · stride + k]` for `i` below `rows` and `k` below `depth`, where
    /// these are multiples of [`TRANSPOSED_MULTIPLE`].
    ///
    /// # Safety
    /// All these places must be valid; the processor must be one that micro-kernels run on.
    unsafe fn transpose(
        from: *const Self,
        stride: usize,
        rows: usize,
        depth: usize,
        to: *mut Self,
        width: usize,
    );
}

/// Rows and steps that are transposed in registers come in multiples of this.
const TRANSPOSED_MULTIPLE: usize = 4;
/// Steps that a strip of rows goes along before the next strip: a few cache lines. Not measured.
const STRIP_STEPS: usize = 64;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Pack, TRANSPOSED_MULTIPLE};

    impl Pack for f32 {
        #[target_feature(enable = "avx")]
        unsafe fn transpose(
            from: *const f32,
            stride: usize,
            rows: usize,
            depth: usize,
            to: *mut f32,
            width: usize,
        ) {
            // SAFETY: rows from `i` and steps from `k` on are valid by the caller's promise.
            unsafe {
                let mut i = 0;
                while i + 8 <= rows {
                    for k in (0..depth).step_by(4) {
                        let from = from.add(i * stride + k);
                        let rows = [0, 1, 2, 3].map(|i| {
                            let upper = _mm_loadu_ps(from.add((i + 4) * stride));
                            _mm256_insertf128_ps::<1>(
                                _mm256_castps128_ps256(_mm_loadu_ps(from.add(i * stride))),
                                upper,
                            )
                        });
                        let [ab, cd] = [[rows[0], rows[1]], [rows[2], rows[3]]]
                            .map(|[a, b]| [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)]);
                        let to = to.add(k * width + i);
                        for half in 0..2 {
                            let to = to.add(2 * half * width);
                            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(ab[half], cd[half]));
                            _mm256_storeu_ps(
                                to.add(width),
                                _mm256_shuffle_ps::<0xee>(ab[half], cd[half]),
                            );
                        }
                    }
                    i += 8;
                }
                if i < rows {
                    for k in (0..depth).step_by(4) {
                        let from = from.add(i * stride + k);
                        let [mut a, mut b, mut c, mut d] =
                            [0, 1, 2, 3].map(|i| _mm_loadu_ps(from.add(i * stride)));
                        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
                        for (step, x) in [a, b, c, d].into_iter().enumerate() {
                            _mm_storeu_ps(to.add((k + step) * width + i), x);
                        }
                    }
                }
            }
        }
    }

    impl Pack for f64 {
        #[target_feature(enable = "avx")]
        unsafe fn transpose(
            from: *const f64,
            stride: usize,
            rows: usize,
            depth: usize,
            to: *mut f64,
            width: usize,
        ) {
            // SAFETY: rows from `i` and steps from `k` on are valid by the caller's promise.
            unsafe {
                for i in (0..rows).step_by(TRANSPOSED_MULTIPLE) {
                    for k in (0..depth).step_by(2) {
                        let from = from.add(i * stride + k);
                        let [a, b] = [0, 1].map(|i| {
                            let upper = _mm_loadu_pd(from.add((i + 2) * stride));
                            _mm256_insertf128_pd::<1>(
                                _mm256_castpd128_pd256(_mm_loadu_pd(from.add(i * stride))),
                                upper,
                            )
                        });
                        let to = to.add(k * width + i);
                        _mm256_storeu_pd(to, _mm256_unpacklo_pd(a, b));
                        _mm256_storeu_pd(to.add(width), _mm256_unpackhi_pd(a, b));
                    }
                }
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod portable {
    use super::{Pack, scattered};

    impl Pack for f32 {
        unsafe fn transpose(
            from: *const f32,
            stride: usize,
            rows: usize,
            depth: usize,
            to: *mut f32,
            width: usize,
        ) {
            // SAFETY: the caller's promise.
            unsafe { scattered(from, [stride, 1], [0..rows, 0..depth], to, width) };
        }
    }

    impl Pack for f64 {
        unsafe fn transpose(
            from: *const f64,
            stride: usize,
            rows: usize,
            depth: usize,
            to: *mut f64,
            width: usize,
        ) {
            // SAFETY: the caller's promise.
            unsafe { scattered(from, [stride, 1], [0..rows, 0..depth], to, width) };
        }
    }
}

/// Packs one panel: `to[k · width + i] = from[i · along + k · deep]` for `i` below `rows` and `k`
/// below `depth`. What is beyond the rows is left as it is.
///
/// # Safety
/// All these places must be valid, those of `to` for writing; the processor must be one that
/// micro-kernels run on.
pub unsafe fn panel<E: Pack>(
    from: *const E,
    [along, deep]: [usize; 2],
    [rows, depth]: [usize; 2],
    to: *mut E,
    width: usize,
) {
    // SAFETY: each visits the places that this function is promised.
    unsafe {
        if along == 1 {
            match rows {
                32 => copy::<E, 32>(from, deep, depth, to, width),
                16 => copy::<E, 16>(from, deep, depth, to, width),
                12 => copy::<E, 12>(from, deep, depth, to, width),
                8 => copy::<E, 8>(from, deep, depth, to, width),
                _ => (0..depth).for_each(|k| {
                    std::ptr::copy_nonoverlapping(from.add(k * deep), to.add(k * width), rows)
                }),
            }
        } else if deep == 1 {
            let (whole_rows, whole_steps) =
                (rows - rows % TRANSPOSED_MULTIPLE, depth - depth % TRANSPOSED_MULTIPLE);
            for first in (0..whole_steps).step_by(STRIP_STEPS) {
                let steps = STRIP_STEPS.min(whole_steps - first);
                E::transpose(
                    from.add(first),
                    along,
                    whole_rows,
                    steps,
                    to.add(first * width),
                    width,
                );
            }
            scattered(from, [along, deep], [whole_rows..rows, 0..whole_steps], to, width);
            scattered(from, [along, deep], [0..rows, whole_steps..depth], to, width);
        } else {
            scattered(from, [along, deep], [0..rows, 0..depth], to, width);
        }
    }
}

/// Whether this machine is one that [`Pack::transpose`] runs on.
#[inline]
pub fn transposes() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx");
    #[cfg(not(target_arch = "x86_64"))]
    let has = true;
    has
}

/// `to[k · rows + i] = from[i · stride + k]` for `i` below `rows` and `k` below `depth`.
///
/// # Panics
/// If a place is outside its slice.
pub fn transpose<E: Pack>(from: &[E], stride: usize, [rows, depth]: [usize; 2], to: &mut [E]) {
    if rows == 0 || depth == 0 {
        return;
    }
    assert!(
        last_position(0, [(rows, stride), (depth, 1)]).is_some_and(|last| last < from.len())
            && checked_size(&[rows, depth]).is_some_and(|size| size <= to.len()),
        "transposition of [{rows}, {depth}] with stride {stride} from {} to {}",
        from.len(),
        to.len()
    );
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    // SAFETY: all places are inside the slices, and the machine has the instructions.
    unsafe {
        if transposes() {
            panel(from, [stride, 1], [rows, depth], to, rows);
        } else {
            scattered(from, [stride, 1], [0..rows, 0..depth], to, rows);
        }
    }
}

/// Rows that lie side by side.
///
/// # Safety
/// As for [`panel`] with `N` rows.
unsafe fn copy<E: Pack, const N: usize>(
    from: *const E,
    deep: usize,
    depth: usize,
    to: *mut E,
    width: usize,
) {
    for k in 0..depth {
        // SAFETY: one step of the panel.
        unsafe {
            to.add(k * width)
                .cast::<[E; N]>()
                .write_unaligned(from.add(k * deep).cast::<[E; N]>().read_unaligned())
        };
    }
}

/// One by one.
///
/// # Safety
/// As for [`panel`], for the rows and steps given.
unsafe fn scattered<E: Pack>(
    from: *const E,
    [along, deep]: [usize; 2],
    [rows, steps]: [Range<usize>; 2],
    to: *mut E,
    width: usize,
) {
    for i in rows {
        for k in steps.clone() {
            // SAFETY: one place of the panel.
            unsafe { *to.add(k * width + i) = *from.add(i * along + k * deep) };
        }
    }
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static SPARE: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Calls `run` with two buffers of at least these lengths, which the thread keeps for the next
/// time. They hold what was left in them.
pub fn with_buffers<E: Pack>(lens: [usize; 2], run: impl FnOnce(*mut E, *mut E)) {
    let [left, right] = lens.map(|len| {
        let bytes = len.checked_mul(size_of::<E>()).expect("buffers fit the memory");
        bytes.div_ceil(size_of::<Line>())
    });
    if left + right == 0 {
        return run(std::ptr::null_mut(), std::ptr::null_mut());
    }
    // Taken, not borrowed: a thread that waits for others may meanwhile start another product.
    let mut buffer = SPARE.take();
    if buffer.len() < left + right {
        buffer.clear();
        buffer.resize(left + right, Line([0; 64]));
    }
    let (left, right) = buffer.split_at_mut(left);
    run(left.as_mut_ptr().cast(), right.as_mut_ptr().cast());
    SPARE.set(buffer);
}
