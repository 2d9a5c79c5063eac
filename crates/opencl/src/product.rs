//! Launchers of the matrix products (`product_lanes.cl` for cores, `product_tiles.cl` for GPUs).

use vivit_tensor::{BatchAxis, Gemm, Scalar, Strides};

use crate::buffer::Buf;
use crate::device::OpenCl;
use crate::info::Kernels;
use crate::program::Lanes;
use crate::session::Outcome;

/// Batch axes that a kernel takes: kept by C, and summed over.
const KEPT: usize = 4;
const SUMMED: usize = 2;

/// Depth of the blocks in which the product on cores runs along k.
const DEPTH: usize = 256;
/// Rows and columns of the largest tile on cores.
const LARGEST: usize = 384;
/// Length from which on k may be cut into pieces, of at least that length.
const LONG: usize = 1024;
/// Length from twice which on k is cut into pieces of about that length, so that rounding does not
/// grow with it: their results take no more memory than the operands where C has at most as many
/// rows or columns.
const LONGEST: usize = 4096;
/// Length of the pieces of a long k in the kernels for GPUs, which add up a whole piece in one
/// register, where C has at most as many rows or columns.
const IN_REGISTER: usize = 256;

/// `C (+)= alpha · Σ A B`. With `lower`, tiles of C above the diagonal are left out. Owns C's
/// memory first.
pub(crate) fn product<E: Scalar>(
    cl: &OpenCl<E>,
    g: &Gemm,
    a: &Buf<E>,
    b: &Buf<E>,
    c: &mut Buf<E>,
    lower: bool,
) {
    g.check(a.len, b.len, c.len);
    cl.session.own(c);
    let outcome = parts(cl, g, a, b, c, lower);
    cl.keep(outcome, c);
}

/// Batch axes outermost first, without those of length one, neighbours merged.
fn merged(axes: impl Iterator<Item = BatchAxis>) -> Vec<BatchAxis> {
    let mut all: Vec<BatchAxis> = Vec::new();
    for axis in axes.filter(|axis| axis.len != 1) {
        match all.last_mut() {
            Some(outer)
                if [(outer.a, axis.a), (outer.b, axis.b), (outer.c, axis.c)]
                    .iter()
                    .all(|(wide, step)| *wide == step * axis.len) =>
            {
                *outer = BatchAxis { len: outer.len * axis.len, ..axis };
            }
            _ => all.push(axis),
        }
    }
    all
}

/// Splits off batch axes that are more than a kernel takes.
fn parts<E: Scalar>(
    cl: &OpenCl<E>,
    g: &Gemm,
    a: &Buf<E>,
    b: &Buf<E>,
    c: &Buf<E>,
    lower: bool,
) -> Outcome {
    let kept = merged(g.batch.iter().copied().filter(|axis| axis.c > 0 || axis.len == 1));
    let summed = merged(g.batch.iter().copied().filter(|axis| axis.c == 0));
    if kept.is_empty() && summed.is_empty() {
        if let Some(pieces) = pieces(cl, g, lower) {
            return split(cl, g, pieces, (a, b, c), lower);
        }
    }
    if kept.len() <= KEPT && summed.len() <= SUMMED {
        return launch(cl, g, &kept, &summed, (a, b, c), lower);
    }
    let (outer, rest) = if kept.len() > KEPT {
        (kept[0], [&kept[1..], &summed[..]].concat())
    } else {
        (summed[0], [&kept[..], &summed[1..]].concat())
    };
    for at in 0..outer.len {
        let mut part = Gemm { batch: rest.clone(), ..g.clone() };
        (part.a.offset, part.b.offset) = (g.a.offset + at * outer.a, g.b.offset + at * outer.b);
        part.c.offset = g.c.offset + at * outer.c;
        part.accumulate |= outer.c == 0 && at > 0;
        let outcome = parts(cl, &part, a, b, c, lower);
        if outcome.0.is_err() {
            return outcome;
        }
    }
    Outcome(Ok(()))
}

fn launch<E: Scalar>(
    cl: &OpenCl<E>,
    g: &Gemm,
    kept: &[BatchAxis],
    summed: &[BatchAxis],
    (a, b, c): (&Buf<E>, &Buf<E>, &Buf<E>),
    lower: bool,
) -> Outcome {
    let items: usize = kept.iter().map(|axis| axis.len).product();
    if g.m == 0 || g.n == 0 || items == 0 {
        return Outcome(Ok(()));
    }
    let (a, b, c) = (a.slice(g.a.offset, 0), b.slice(g.b.offset, 0), c.slice(g.c.offset, 0));
    let of_kept =
        |pick: fn(&BatchAxis) -> usize, fill: usize| right_aligned::<KEPT>(kept, pick, fill);
    let of_summed =
        |pick: fn(&BatchAxis) -> usize, fill: usize| right_aligned::<SUMMED>(summed, pick, fill);
    let shape = Shape { m: g.m, n: g.n, items, lower };
    let kernel = match cl.kernels {
        Kernels::Cores => "product_lanes",
        Kernels::Groups if shape.wants_small_tiles(cl.info().compute_units as usize) => {
            "product_small_tiles"
        }
        Kernels::Groups => "product_large_tiles",
    };
    let call = cl.call(kernel).buf(&a).buf(&b).buf(&c).real(g.alpha).words([g.m, g.n, g.k, 0]);
    let call = call.words([g.a.row, g.a.col]).words([g.b.row, g.b.col]).words([g.c.row, g.c.col]);
    let call = call
        .words(of_kept(|x| x.len, 1))
        .words(of_kept(|x| x.a, 0))
        .words(of_kept(|x| x.b, 0))
        .words(of_kept(|x| x.c, 0));
    let call = call
        .words(of_summed(|x| x.len, 1))
        .words(of_summed(|x| x.a, 0))
        .words(of_summed(|x| x.b, 0));
    let call = call.words([usize::from(g.accumulate), usize::from(lower)]);
    match cl.kernels {
        Kernels::Cores => {
            let numbers = cl.info().local_memory as usize / size_of::<E>();
            let [rows, cols] =
                shape.lane_tile(cl.compiled.lanes, cl.info().compute_units as usize, numbers);
            let call = call.words([rows, cols, DEPTH, 0]).local(rows * DEPTH).local(cols * DEPTH);
            call.run([g.m.div_ceil(rows) * g.n.div_ceil(cols), items], [1, 1])
        }
        Kernels::Groups => {
            let tile = if kernel == "product_small_tiles" { 64 } else { 128 };
            call.run([g.m.div_ceil(tile) * g.n.div_ceil(tile), items], [256, 1])
        }
    }
}

/// In how many pieces k is cut: because C alone has too few tiles for the device, a long product of
/// a few rows and columns, or because k is long.
fn pieces<E: Scalar>(cl: &OpenCl<E>, g: &Gemm, lower: bool) -> Option<usize> {
    let units = cl.info().compute_units as usize;
    let shape = Shape { m: g.m, n: g.n, items: 1, lower };
    let (tiles, wanted) = match cl.kernels {
        Kernels::Cores => (shape.tiles(LARGEST, LARGEST), 4 * units),
        Kernels::Groups => (shape.tiles(64, 64), 2 * units),
    };
    let thin = g.m.min(g.n);
    let depth = match cl.kernels {
        Kernels::Groups if thin <= IN_REGISTER => IN_REGISTER,
        _ => LONGEST,
    };
    let apart = if thin <= LONGEST && g.k >= 2 * LONGEST { g.k / depth } else { 0 };
    let pieces = (wanted / tiles.max(1)).min(g.k / LONG).max(apart);
    (pieces > 1).then_some(pieces)
}

/// Each piece of k by itself, then their sum in order.
fn split<E: Scalar>(
    cl: &OpenCl<E>,
    g: &Gemm,
    pieces: usize,
    (a, b, c): (&Buf<E>, &Buf<E>, &Buf<E>),
    lower: bool,
) -> Outcome {
    let depth = g.k / pieces;
    let sums = cl.session.allocate::<E>(pieces * g.m * g.n);
    let piece = Gemm { k: depth, c: Strides::rows(g.n), accumulate: false, ..g.clone() };
    let axis = BatchAxis { len: pieces, a: depth * g.a.col, b: depth * g.b.row, c: g.m * g.n };
    let target = c.slice(g.c.offset, 0);
    let add = cl
        .call("add_parts")
        .buf(&sums)
        .buf(&target)
        .words([g.n, g.m, pieces, 0])
        .words([g.c.row, g.c.col]);
    let add = add.words([usize::from(g.accumulate), usize::from(lower)]);
    let mut outcome = launch(cl, &piece, &[axis], &[], (a, b, &sums), lower);
    if outcome.0.is_ok() {
        outcome = add.rows(g.n, g.m);
    }
    let done = depth * pieces;
    if outcome.0.is_err() || done == g.k {
        return outcome;
    }
    let (a_rest, b_rest) = (g.a.at(done * g.a.col), g.b.at(done * g.b.row));
    let rest = Gemm { k: g.k - done, a: a_rest, b: b_rest, accumulate: true, ..g.clone() };
    launch(cl, &rest, &[], &[], (a, b, c), lower)
}

fn right_aligned<const N: usize>(
    axes: &[BatchAxis],
    pick: fn(&BatchAxis) -> usize,
    fill: usize,
) -> [usize; N] {
    let mut all = [fill; N];
    all[N - axes.len()..].iter_mut().zip(axes).for_each(|(to, axis)| *to = pick(axis));
    all
}

/// What the size of tiles depends on.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    n: usize,
    items: usize,
    lower: bool,
}

impl Shape {
    fn tiles(&self, rows: usize, cols: usize) -> usize {
        let all = self.m.div_ceil(rows) * self.n.div_ceil(cols) * self.items;
        if self.lower { all / 2 + 1 } else { all }
    }

    /// Whether large tiles would leave compute units, or most of themselves, idle.
    fn wants_small_tiles(&self, units: usize) -> bool {
        self.m <= 64 || self.n <= 64 || self.tiles(128, 128) < 2 * units
    }

    /// Rows and columns of a tile on cores: as large as half of the local memory allows, but enough
    /// of them for all cores to end together.
    fn lane_tile(&self, lanes: Lanes, cores: usize, numbers: usize) -> [usize; 2] {
        let (height, panel) = (lanes.rows, 2 * lanes.width);
        let most = (numbers / 2 / DEPTH / 2).clamp(panel.max(height), LARGEST);
        // Equal parts, rounded up to whole panels.
        let parts = |len: usize, most: usize, unit: usize| {
            len.div_ceil(len.div_ceil(most)).next_multiple_of(unit)
        };
        let (mut rows, mut cols) = (parts(self.m, most, height), parts(self.n, most, panel));
        while self.tiles(rows, cols) < 4 * cores && (rows > 4 * height || cols > 2 * panel) {
            if rows > cols && rows > 4 * height {
                rows = parts(self.m, (rows / 2).max(height), height);
            } else if cols > 2 * panel {
                cols = parts(self.n, (cols / 2).max(panel), panel);
            } else {
                break;
            }
        }
        [rows, cols]
    }
}
