//! The orders that go through pairs of samples, `Positions` and `OneSide`.
//!
//! Both make `P[n, m][v, t′, o] = Σ_t ⟨z[n, t], z[m, t′]⟩ s[v, n, t, o]` and contract it with `s[w,
//! m, t′, o]`, over `t′` and `o`:
//!
//! ```text
//! Positions   P = K s_n      K[t′, t] = ⟨z[m, t′], z[n, t]⟩
//! OneSide     P = z_m V_nᵀ   V_n = Σ_t s[n, t] ⊗ z[n, t]
//! ```
//!
//! Features are innermost everywhere, so that every product runs along contiguous rows. Blocks are
//! nested: a *chunk* of samples m, for it a *block* of samples n (with its K or V), in it *tiles*
//! of pairs whose P fits into a cache.

use std::ops::Range;

use vivit_autodiff::Outer;
use vivit_tensor::{Buffer, Gemm, PositionPairs, Strides, Tensor};

use super::dims::{ContractionDims, GramBlock, Tiles};

/// Where the product of column v of sample n and column w of sample m is added: distances in the
/// result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub v: usize,
    pub n: usize,
    pub w: usize,
    pub m: usize,
}

/// What the left side is prepared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Positions,
    OneSide,
}

/// Ranges of at most `step` that make up `range`.
fn ranges(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(step).map(move |first| first..(first + step).min(end))
}

/// Adds the products of the columns of `a` and `b` to `c`, where `place` says.
///
/// Symmetric: of each pair of samples that differ only the one with n > m, and half of those with n
/// = m; the result is `C + Cᵀ`.
pub(super) fn add(
    c: &mut Tensor,
    place: Place,
    (a, b): (&Outer, &Outer),
    block: GramBlock,
    via: Via,
    limit: usize,
) {
    let (d, e) = (a.dims(), b.dims());
    let dims = ContractionDims { block, left: d, columns: e.v, samples: e.n };
    let tiles = if via == Via::Positions {
        Tiles::positions(&dims, limit)
    } else {
        Tiles::one_side(&dims, limit)
    };
    let symmetric = block == GramBlock::Symmetric;
    let device = c.device().clone();
    let mut p = None;
    // Where a block has not enough zeros, the others won't either.
    let mut through_zeros = block != GramBlock::ByColumn;
    for ms in ranges(0..e.n, tiles.chunk) {
        let right = Side::new(b, ms.clone(), via);
        for ns in ranges(0..d.n, tiles.block).filter(|ns| !symmetric || ns.end > ms.start) {
            let seen = ms.start..if symmetric { ms.end.min(ns.end) } else { ms.end };
            let prepared = Prepared::new(a, ns.clone(), &right, seen.len(), via);
            through_zeros = through_zeros && prepared.add_pairs(c, place, &right, symmetric);
            if through_zeros {
                continue;
            }
            let p = p.get_or_insert_with(|| {
                device.fill(tiles.tile[0] * tiles.tile[1] * d.v * d.g * d.t * d.o, 0.0)
            });
            for n in ranges(ns, tiles.tile[0]).filter(|n| !symmetric || n.end > seen.start) {
                let diagonal =
                    if symmetric { n.start.clamp(seen.start, seen.end) } else { seen.end };
                for (of, alpha) in [
                    (seen.start..diagonal, 1.0),
                    (diagonal..seen.end.min(n.end.max(diagonal)), 0.5),
                ] {
                    for m in ranges(of, tiles.tile[1]) {
                        prepared.fill_p(p, n.clone(), &right, m.clone());
                        contract((p, d.v, n.clone()), (&right, m), c, place, (block, alpha));
                    }
                }
            }
        }
    }
}

/// The factor at the output of some samples, features innermost.
struct Side<'o> {
    outer: &'o Outer,
    samples: Range<usize>,
    /// `[V, samples, G, T, O]`
    s: Tensor,
    /// `[G, samples, T, I]`, for `OneSide`.
    z: Option<Tensor>,
}

impl<'o> Side<'o> {
    fn new(outer: &'o Outer, samples: Range<usize>, via: Via) -> Self {
        let z = (via == Via::OneSide).then(|| outer.z_inside(samples.clone()));
        Side { s: outer.s_inside(samples.clone()), outer, samples, z }
    }
}

/// Samples n, ready to make P with samples m.
#[allow(clippy::large_enum_variant)] // few, on the stack, for a short time
enum Prepared<'o> {
    /// The side, `K: [G, seen · T, samples · T]`, and the distances of positions and of samples in
    /// its lines.
    Positions(Side<'o>, Tensor, [usize; 2]),
    /// The samples and their `V: [V, samples, G, O, I]`.
    OneSide(Range<usize>, Tensor),
}

impl<'o> Prepared<'o> {
    /// For the first `seen` samples of `right`.
    fn new(
        outer: &'o Outer,
        samples: Range<usize>,
        right: &Side<'_>,
        seen: usize,
        via: Via,
    ) -> Self {
        let d = outer.dims();
        if via == Via::OneSide {
            let v = outer.expand_part(samples.clone(), 0..d.o).reshape([
                d.v,
                samples.len(),
                d.g,
                d.o,
                d.i,
            ]);
            return Prepared::OneSide(samples, v);
        }
        let first = right.samples.start;
        let (k, line) = right.outer.input_products(first..first + seen, outer, samples.clone());
        Prepared::Positions(Side::new(outer, samples, via), k, line)
    }

    /// Adds all pairs with the samples m that K has, leaving out where all columns are zero, if the
    /// backend can; whether it could.
    fn add_pairs(&self, c: &mut Tensor, place: Place, right: &Side<'_>, symmetric: bool) -> bool {
        let Prepared::Positions(left, k, line) = self else { return false };
        let [v, n, groups, t, o] = **left.s.shape() else { unreachable!("made with five axes") };
        let pairs = PositionPairs {
            columns: [v, right.s.shape()[0]],
            samples: [n, right.samples.len()],
            seen: k.shape()[1] / t,
            groups,
            positions: t,
            features: o,
            line: *line,
            first: [left.samples.start, right.samples.start],
            symmetric,
            place: [place.v, place.n, place.w, place.m],
        };
        k.device().clone().add_position_pairs(
            &pairs,
            k.buf(),
            left.s.buf(),
            right.s.buf(),
            c.buf_mut(),
        )
    }

    /// Writes `P: [n, V, G, m, T, O]`.
    fn fill_p(&self, to: &mut Buffer, n: Range<usize>, right: &Side<'_>, m: Range<usize>) {
        let first = m.start - right.samples.start;
        match self {
            Prepared::Positions(left, k, line) => {
                let [v, held, g, t, o] = **left.s.shape() else {
                    unreachable!("made with five axes")
                };
                let (rows, cols, at) = (k.shape()[1], k.shape()[2], n.start - left.samples.start);
                let product = Gemm {
                    a: Strides { offset: first * t * cols + at * line[1], row: cols, col: line[0] },
                    b: Strides::rows(o).at(at * g * t * o),
                    ..Gemm::new(m.len() * t, o, t)
                };
                let p = m.len() * t * o;
                let product = product
                    .batch(n.len(), line[1], g * t * o, v * g * p)
                    .batch(v, 0, held * g * t * o, g * p)
                    .batch(g, rows * cols, t * o, p);
                k.device().gemm(&product, k.buf(), left.s.buf(), to);
            }
            Prepared::OneSide(samples, expanded) => {
                let [v, held, g, o, i] = **expanded.shape() else {
                    unreachable!("made with five axes")
                };
                let z = right.z.as_ref().expect("made for this order");
                let (t, at) = (z.shape()[2], n.start - samples.start);
                let product = Gemm {
                    a: Strides::rows(i).at(first * t * i),
                    b: Strides::transposed(i).at(at * g * o * i),
                    ..Gemm::new(m.len() * t, o, i)
                };
                let p = m.len() * t * o;
                let product = product
                    .batch(n.len(), 0, g * o * i, v * g * p)
                    .batch(v, 0, held * g * o * i, g * p)
                    .batch(g, right.samples.len() * t * i, o * i, p);
                expanded.device().gemm(&product, z.buf(), expanded.buf(), to);
            }
        }
    }
}

/// `c += alpha · ⟨P[n, m][v], s[w, m]⟩`; with `ByColumn` for w = v only.
fn contract(
    (p, v, n): (&Buffer, usize, Range<usize>),
    (right, m): (&Side<'_>, Range<usize>),
    c: &mut Tensor,
    place: Place,
    (block, alpha): (GramBlock, f64),
) {
    let [w, held, g, t, o] = **right.s.shape() else { unreachable!("made with five axes") };
    let k = t * o;
    let (of_v, of_n, of_w) = (g * m.len() * k, v * g * m.len() * k, held * g * k);
    let b = Strides::rows(1).at((m.start - right.samples.start) * g * k);
    let to = n.start * place.n + m.start * place.m;
    let product = if block == GramBlock::ByColumn {
        let (a, c) = (
            Strides { row: of_n, ..Strides::rows(1) },
            Strides { row: place.n, ..Strides::rows(1) },
        );
        let product = Gemm { a, b, c: c.at(to), ..Gemm::new(n.len(), 1, k) };
        product.batch(v, of_v, of_w, place.v)
    } else {
        let b = Strides { col: of_w, ..b };
        let c = Strides { offset: to, row: place.v, col: place.w };
        let product =
            Gemm { a: Strides { row: of_v, ..Strides::rows(1) }, b, c, ..Gemm::new(v, w, k) };
        product.batch(n.len(), of_n, 0, place.n)
    };
    let product = product.batch(m.len(), k, g * k, place.m).batch(g, m.len() * k, k, 0);
    let device = c.device().clone();
    device.gemm(&product.scaled(alpha).accumulating(), p, right.s.buf(), c.buf_mut());
}

/// `lower += C + Cᵀ` for square matrices.
pub(super) fn fold(lower: &mut Tensor, pairs: &Tensor) {
    lower.axpy(1.0, pairs);
    lower.axpy(1.0, &pairs.permute(&[1, 0]));
}
