//! All eigenpairs of a tridiagonal matrix by divide and conquer.
//!
//! Without the entry `e` in its middle, which is split off as a matrix of rank one, a tridiagonal
//! matrix is two smaller ones (Cuppen, Numer. Math. 36 (1981) 177–195):
//!
//! ```text
//! T = diag(T₁, T₂) + |e| u uᵀ,   u = (0 … 0 1 ±1 0 … 0),
//! ```
//!
//! where the diagonal entries beside the cut are reduced by `|e|`. With their decompositions, `T`
//! is similar to `D + ρ z zᵀ`. A pair with a negligible `zⱼ` is one of `T` already, and two nearly
//! equal `dⱼ` can be rotated such that one `zⱼ` vanishes (*deflation*, Dongarra & Sorensen, SIAM J.
//! Sci. Stat. Comput. 8 (1987) s139–s154). What remains is the secular equation's, and the vectors
//! follow by matrix products, in which rows that live in one half only stay apart (LAPACK's
//! `laed2`, `laed3`). Vectors are rows throughout.
//!
//! Everything happens in place. The rows of a part are multiplied by an orthogonal matrix `U`, and
//! a column of the product depends on the same column only: some columns at a time are copied and
//! overwritten by their product. `U` exists in small tiles only, which are computed when they are
//! needed, once per group of columns.

use std::ops::Range;

use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, gemm};

use crate::parallel::PARALLEL;
use crate::ql;
use crate::rows::{pair, rearrange};
use crate::secular::{Root, Secular, length, vector};
use crate::tridiagonal::Tridiagonal;

/// Size up to which QL iteration is used.
const LEAF: usize = 32;
/// Vectors that one task computes at most.
const BLOCK: usize = 256;
/// Columns of either half that are copied at a time, at most. Fewer take less memory and more time
/// for computing `U`; between 256 and 512 no difference was measured up to n = 2000.
const COLUMNS: usize = 256;
/// Columns of a tile of `U`.
const TILE: usize = 256;
/// Size from which on halves and blocks are tasks, within a matrix that is worth tasks at all.
const TASKS: usize = 128;

/// Ascending eigenvalues and the unit eigenvectors in rows, or where QL iteration did not converge.
pub(crate) fn eigen<E: Scalar>(t: &Tridiagonal) -> Result<(Vec<f64>, Matrix<E>), usize> {
    let n = t.d.len();
    if n <= LEAF {
        return ql::eigen(t);
    }
    let (mut d, e) = (t.d.clone(), &t.e);
    let mut q = vec![E::zero(); n * n];
    cut(&mut d, e);
    Node { n, first: 0, e }.solve(&mut d, &mut q)?;
    Ok((d, Matrix::new(n, n, q)))
}

/// Reduces the diagonal entries beside all cuts.
fn cut(d: &mut [f64], e: &[f64]) {
    let n = d.len();
    if n > LEAF {
        let middle = n / 2;
        d[middle - 1] -= e[middle - 1].abs();
        d[middle] -= e[middle - 1].abs();
        let (left, right) = d.split_at_mut(middle);
        cut(left, &e[..middle - 1]);
        cut(right, &e[middle..]);
    }
}

/// A part of the matrix: some consecutive rows, with their off-diagonal entries.
struct Node<'a> {
    /// Size of the whole matrix, the stride of the vectors.
    n: usize,
    /// First row of the part.
    first: usize,
    e: &'a [f64],
}

/// Which half of the columns a vector occupies.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Left,
    Both,
    Right,
}

/// Rows that go through the secular equation, in ascending order of `d`, and the others.
struct Deflated {
    active: Vec<usize>,
    done: Vec<usize>,
}

/// The new vectors of a part: `ẑⱼ / (dⱼ − λᵢ)`, divided by its length, are the coefficients of
/// vector `i`. Old vectors are stored by kind: those in the left half, in both, in the right half.
struct Product<'a> {
    /// The poles and `ẑ` in the order of storage.
    poles: &'a [f64],
    z: &'a [f64],
    /// Of each root: pole and distance, and the inverse length.
    roots: &'a [(f64, f64, f64)],
    /// Vectors per task.
    block: usize,
}

/// One half of the columns, and which of the stored vectors live there.
struct Half {
    columns: Range<usize>,
    stored: Range<usize>,
}

impl Half {
    /// One of `steps` equal groups of columns.
    fn columns(&self, step: usize, steps: usize) -> Range<usize> {
        let width = self.columns.len().div_ceil(steps);
        let at = |step: usize| usize::min(self.columns.start + step * width, self.columns.end);
        at(step)..at(step + 1)
    }
}

impl Node<'_> {
    /// Replaces the diagonal of the part by its eigenvalues, ascending, and writes the vectors to
    /// the part's rows (and columns) of `q`.
    fn solve<E: Scalar>(&self, d: &mut [f64], q: &mut [E]) -> Result<(), usize> {
        let (n, m) = (self.n, d.len());
        if m <= LEAF {
            let t = Tridiagonal { d: d.to_vec(), e: self.e.to_vec() };
            let (values, vectors) = ql::eigen::<E>(&t).map_err(|at| self.first + at)?;
            d.copy_from_slice(&values);
            for i in 0..m {
                q[i * n + self.first..][..m].copy_from_slice(vectors.row(i));
            }
            return Ok(());
        }
        let half = m / 2;
        let left = Node { n, first: self.first, e: &self.e[..half - 1] };
        let right = Node { n, first: self.first + half, e: &self.e[half..] };
        {
            let (d, q) = (d.split_at_mut(half), q.split_at_mut(half * n));
            let solved = both(self.tasks(m), || left.solve(d.0, q.0), || right.solve(d.1, q.1));
            solved.0.and(solved.1)?;
        }
        self.merge(half, d, q);
        Ok(())
    }

    /// Whether a part of size `m` is worth tasks.
    fn tasks(&self, m: usize) -> bool {
        self.n >= PARALLEL && m >= TASKS
    }

    /// Makes the decomposition of the part from those of its halves.
    fn merge<E: Scalar>(&self, half: usize, d: &mut [f64], q: &mut [E]) {
        let (n, m, first) = (self.n, d.len(), self.first);
        let e = self.e[half - 1];
        let scale = std::f64::consts::FRAC_1_SQRT_2;
        let entry = |i: usize| q[i * n + first + half - usize::from(i < half)].f64() * scale;
        let mut z: Vec<f64> =
            (0..m).map(|i| if i >= half && e < 0.0 { -entry(i) } else { entry(i) }).collect();
        let rho = 2.0 * e.abs();
        let order = sorted(d);
        let mut kind: Vec<Kind> =
            (0..m).map(|i| if i < half { Kind::Left } else { Kind::Right }).collect();
        let Deflated { active, done } = self.deflate::<E>(rho, &order, d, &mut z, &mut kind, q);
        let k = active.len();
        let poles: Vec<f64> = active.iter().map(|&i| d[i]).collect();
        let weights: Vec<f64> = active.iter().map(|&i| z[i]).collect();
        let secular = Secular { d: &poles, z: &weights, rho };
        let tolerance = f64::max(f64::EPSILON / 2.0, 1e-3 * E::EPSILON.f64());
        // An even number of equal blocks.
        let (block, part) = match k.div_ceil(2 * k.div_ceil(2 * BLOCK).max(1)) {
            block if self.tasks(m) => (block, block.div_ceil(4)),
            _ => (k, k),
        };
        let mut roots = vec![Root::default(); k];
        each_block(&mut roots, part, |from, roots| {
            roots
                .iter_mut()
                .enumerate()
                .for_each(|(i, root)| *root = secular.root(from + i, tolerance));
        });
        // Values in ascending order: roots, and behind them in the list the others.
        let values: Vec<f64> = roots
            .iter()
            .map(|root| poles[root.origin] + root.offset)
            .chain(done.iter().map(|&i| d[i]))
            .collect();
        let order = sorted(&values);
        d.iter_mut().zip(&order).for_each(|(d, &i)| *d = values[i]);
        let moves = order
            .iter()
            .enumerate()
            .filter(|&(_, &i)| i >= k)
            .map(|(place, &i)| (place, done[i - k]));
        let at = rearrange(q, n, first..first + m, moves);
        if k == 0 {
            return;
        }
        let mut refined = vec![0.0; k];
        each_block(&mut refined, part, |from, z| secular.refine(&roots, from, z));
        let mut coefficients = vec![(0.0, 0.0, 0.0); k];
        each_block(&mut coefficients, part, |from, coefficients| {
            for (to, root) in coefficients.iter_mut().zip(&roots[from..]) {
                let pole = poles[root.origin];
                *to = (pole, root.offset, 1.0 / length(&poles, &refined, pole, root.offset));
            }
        });
        // `place[c]` is the position in `active` of stored vector `c`.
        let of = |wanted: Kind| (0..k).filter(|&a| kind[active[a]] == wanted).collect::<Vec<_>>();
        let (lefts, boths, rights) = (of(Kind::Left), of(Kind::Both), of(Kind::Right));
        let halves = [
            Half { columns: 0..half, stored: 0..lefts.len() + boths.len() },
            Half { columns: half..m, stored: lefts.len()..k },
        ];
        let place = [lefts, boths, rights].concat();
        let stored = |x: &[f64]| place.iter().map(|&a| x[a]).collect::<Vec<f64>>();
        let (stored_poles, stored_z) = (stored(&poles), stored(&refined));
        let product = Product { poles: &stored_poles, z: &stored_z, roots: &coefficients, block };
        // Rows in the order of roots, and where among them the old vectors are.
        let mut rows: Vec<Option<&mut [E]>> =
            q.chunks_exact_mut(n).map(|row| Some(&mut row[first..first + m])).collect();
        let (mut root_rows, mut root_at) = (Vec::with_capacity(k), vec![0; m]);
        let mut places = vec![0; k];
        for (place, &i) in order.iter().enumerate().filter(|&(_, &i)| i < k) {
            places[i] = place;
        }
        for (i, &place) in places.iter().enumerate() {
            root_at[place] = i;
            root_rows.extend(rows[place].take());
        }
        let old: Vec<usize> = place.iter().map(|&a| root_at[at[active[a]]]).collect();
        product.apply(&halves, &old, &mut root_rows);
    }

    /// Separates the pairs that are pairs of the whole already, rotating vectors where two values
    /// are nearly equal.
    fn deflate<E: Scalar>(
        &self,
        rho: f64,
        order: &[usize],
        d: &mut [f64],
        z: &mut [f64],
        kind: &mut [Kind],
        q: &mut [E],
    ) -> Deflated {
        let (n, m, first) = (self.n, d.len(), self.first);
        let largest = |x: &[f64]| x.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let tolerance = 4.0 * E::EPSILON.f64() * f64::max(largest(d), largest(z));
        let (mut active, mut done) = (Vec::with_capacity(m), Vec::new());
        let mut previous: Option<usize> = None;
        for &j in order {
            if rho * z[j].abs() <= tolerance {
                done.push(j);
                continue;
            }
            let Some(p) = previous.replace(j) else { continue };
            let length = z[j].hypot(z[p]);
            let (c, s) = (z[j] / length, -z[p] / length);
            if ((d[j] - d[p]) * c * s).abs() > tolerance {
                active.push(p);
                continue;
            }
            (z[j], z[p]) = (length, 0.0);
            if kind[j] != kind[p] {
                kind[j] = Kind::Both;
            }
            rotate(q, n, first..first + m, p, j, E::of(c), E::of(s));
            (d[p], d[j]) = (d[p] * c * c + d[j] * s * s, d[p] * s * s + d[j] * c * c);
            done.push(p);
        }
        active.extend(previous);
        Deflated { active, done }
    }
}

impl Product<'_> {
    /// Replaces the vectors in rows, of which row `old[c]` is stored vector `c`.
    fn apply<E: Scalar>(&self, halves: &[Half; 2], old: &[usize], rows: &mut [&mut [E]]) {
        let steps = halves[1].columns.len().div_ceil(COLUMNS);
        for step in 0..steps {
            let copies = halves.each_ref().map(|half| {
                let columns = half.columns(step, steps);
                let mut copy = vec![E::zero(); half.stored.len() * columns.len()];
                let old = &old[half.stored.clone()];
                each_block(&mut copy, self.block * columns.len(), |from, copy| {
                    let old = &old[from / columns.len()..];
                    copy.chunks_exact_mut(columns.len())
                        .zip(old)
                        .for_each(|(to, &row)| to.copy_from_slice(&rows[row][columns.clone()]));
                });
                (columns, copy)
            });
            each_block(rows, self.block, |from, rows| {
                let mut u = vec![E::zero(); rows.len() * TILE.min(self.poles.len())];
                let width = usize::max(copies[0].0.len(), copies[1].0.len());
                let mut new = vec![E::zero(); rows.len() * width];
                for (half, (columns, copy)) in halves.iter().zip(&copies) {
                    self.multiply(from, rows.len(), &half.stored, copy, &mut u, &mut new);
                    for (row, new) in rows.iter_mut().zip(new.chunks_exact(columns.len())) {
                        row[columns.clone()].copy_from_slice(new);
                    }
                }
            });
        }
    }

    /// Computes `count` vectors from vector `from` on, from the columns of the stored vectors.
    fn multiply<E: Scalar>(
        &self,
        from: usize,
        count: usize,
        stored: &Range<usize>,
        old: &[E],
        u: &mut [E],
        new: &mut [E],
    ) {
        let columns = old.len() / stored.len().max(1);
        if stored.is_empty() {
            new.fill(E::zero());
        }
        for start in stored.clone().step_by(TILE) {
            let end = stored.end.min(start + TILE);
            for (u, &(pole, offset, factor)) in
                u.chunks_exact_mut(end - start).zip(&self.roots[from..from + count])
            {
                vector(&self.poles[start..end], &self.z[start..end], pole, offset, factor, u);
            }
            let product =
                Gemm { accumulate: start > stored.start, ..Gemm::new(count, columns, end - start) };
            gemm(&product, u, &old[(start - stored.start) * columns..], new);
        }
    }
}

/// Replaces rows `p` and `j` by `c p + s j` and `c j − s p`.
fn rotate<E: Scalar>(q: &mut [E], n: usize, columns: Range<usize>, p: usize, j: usize, c: E, s: E) {
    let (p, j) = pair(q, n, columns, p, j);
    for (p, j) in p.iter_mut().zip(j) {
        (*p, *j) = (c * *p + s * *j, c * *j - s * *p);
    }
}

/// The indices in ascending order of `x`.
fn sorted(x: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    order
}

/// Calls both, as tasks or one after the other.
fn both<R: Send>(
    tasks: bool,
    f: impl FnOnce() -> R + Send,
    g: impl FnOnce() -> R + Send,
) -> (R, R) {
    if tasks { rayon::join(f, g) } else { (f(), g()) }
}

/// Calls `f` with blocks of `x` and the index of their first entry, as tasks if there are several.
fn each_block<T: Send>(x: &mut [T], block: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if x.len() <= block {
        f(0, x);
    } else {
        x.par_chunks_mut(block).enumerate().for_each(|(i, x)| f(i * block, x));
    }
}
