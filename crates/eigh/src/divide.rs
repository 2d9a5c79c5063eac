//! All eigenpairs of a tridiagonal matrix by divide and conquer.
//!
//! Without the entry `e` in its middle, which is split off as a matrix of rank one, a tridiagonal matrix is two smaller ones
//! (Cuppen, Numer. Math. 36 (1981) 177–195):
//!
//! ```text
//! T = diag(T₁, T₂) + |e| u uᵀ,   u = (0 … 0 1 ±1 0 … 0),
//! ```
//!
//! where the diagonal entries beside the cut are reduced by `|e|`. With their decompositions, `T` is similar to `D + ρ z zᵀ`. A
//! pair with a negligible `zⱼ` is one of `T` already, and two nearly equal `dⱼ` can be rotated such that one `zⱼ` vanishes
//! (*deflation*, Dongarra & Sorensen, SIAM J. Sci. Stat. Comput. 8 (1987) s139–s154). What remains is the secular equation's,
//! and the vectors follow by matrix products, in which rows that live in one half only stay apart (LAPACK's `laed2`, `laed3`).
//! Vectors are rows throughout.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm};

use crate::PARALLEL;
use crate::ql;
use crate::secular::{Root, Secular, vector};
use crate::tridiagonal::Tridiagonal;

/// Size up to which QL iteration is used.
const LEAF: usize = 32;
/// Vectors that one task computes at most.
const BLOCK: usize = 256;
/// Size from which on halves and blocks are tasks, within a matrix that is worth tasks at all.
const TASKS: usize = 128;

/// Ascending eigenvalues and the unit eigenvectors in rows, or where QL iteration did not converge.
pub(crate) fn eigen<E: Scalar>(t: &Tridiagonal) -> Result<(Vec<f64>, Matrix<E>), usize> {
    let n = t.d.len();
    if n <= LEAF {
        return ql::eigen(t);
    }
    let (mut d, e) = (t.d.clone(), &t.e);
    let (mut q, mut work) = (vec![E::zero(); n * n], vec![E::zero(); n * n]);
    cut(&mut d, e);
    let node = Node { n, first: 0, e };
    let order = node.solve(&mut d, &mut q, &mut work)?;
    work.par_chunks_exact_mut(n)
        .zip(&order)
        .with_min_len(128)
        .for_each(|(to, &from)| to.copy_from_slice(&q[from * n..(from + 1) * n]));
    Ok((order.into_iter().map(|i| d[i]).collect(), Matrix::new(n, n, work)))
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

impl Node<'_> {
    /// Replaces the diagonal of the part by its eigenvalues, writes the vectors to the part's rows (and columns) of `q`, and
    /// returns the order that sorts them. `work` has the size of `q`.
    fn solve<E: Scalar>(&self, d: &mut [f64], q: &mut [E], work: &mut [E]) -> Result<Vec<usize>, usize> {
        let (n, m) = (self.n, d.len());
        if m <= LEAF {
            let t = Tridiagonal { d: d.to_vec(), e: self.e.to_vec() };
            let (values, vectors) = ql::eigen::<E>(&t).map_err(|at| self.first + at)?;
            d.copy_from_slice(&values);
            for i in 0..m {
                q[i * n + self.first..][..m].copy_from_slice(vectors.row(i));
            }
            return Ok((0..m).collect());
        }
        let half = m / 2;
        let left = Node { n, first: self.first, e: &self.e[..half - 1] };
        let right = Node { n, first: self.first + half, e: &self.e[half..] };
        let (mut left_order, right_order);
        {
            let (d, q, work) = (d.split_at_mut(half), q.split_at_mut(half * n), work.split_at_mut(half * n));
            let solve_left = || left.solve(d.0, q.0, work.0);
            let solve_right = || right.solve(d.1, q.1, work.1);
            let orders = both(self.tasks(m), solve_left, solve_right);
            (left_order, right_order) = (orders.0?, orders.1?);
        }
        left_order.extend(right_order.into_iter().map(|i| half + i));
        self.merge(half, left_order, d, q, work);
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|&i, &j| d[i].total_cmp(&d[j]));
        Ok(order)
    }

    /// Whether a part of size `m` is worth tasks.
    fn tasks(&self, m: usize) -> bool {
        self.n >= PARALLEL && m >= TASKS
    }

    /// Makes the decomposition of the part from those of its halves.
    fn merge<E: Scalar>(&self, half: usize, mut order: Vec<usize>, d: &mut [f64], q: &mut [E], work: &mut [E]) {
        let (n, m, first) = (self.n, d.len(), self.first);
        let e = self.e[half - 1];
        let scale = std::f64::consts::FRAC_1_SQRT_2;
        let entry = |i: usize| q[i * n + first + half - usize::from(i < half)].f64() * scale;
        let mut z: Vec<f64> = (0..m).map(|i| if i >= half && e < 0.0 { -entry(i) } else { entry(i) }).collect();
        let rho = 2.0 * e.abs();
        order.sort_by(|&i, &j| d[i].total_cmp(&d[j]));
        let mut kind: Vec<Kind> = (0..m).map(|i| if i < half { Kind::Left } else { Kind::Right }).collect();
        let Deflated { active, done } = self.deflate::<E>(rho, &order, d, &mut z, &mut kind, q);
        let k = active.len();
        // Rows are stored by kind; `place[c]` is the position in `active` of stored row `c`.
        let of = |kinds: &[Kind]| (0..k).filter(|&a| kinds.contains(&kind[active[a]])).collect::<Vec<_>>();
        let (lefts, boths) = (of(&[Kind::Left]).len(), of(&[Kind::Both]).len());
        let place = [of(&[Kind::Left]), of(&[Kind::Both]), of(&[Kind::Right])].concat();
        let (top, rest) = work.split_at_mut((lefts + boths) * half);
        let (bottom, deflated) = rest.split_at_mut((k - lefts) * (m - half));
        for (to, &a) in top.chunks_exact_mut(half).zip(&place) {
            to.copy_from_slice(&q[active[a] * n + first..][..half]);
        }
        for (to, &a) in bottom.chunks_exact_mut(m - half).zip(&place[lefts..]) {
            to.copy_from_slice(&q[active[a] * n + first + half..][..m - half]);
        }
        for (to, &i) in deflated.chunks_exact_mut(m).zip(&done) {
            to.copy_from_slice(&q[i * n + first..][..m]);
        }
        let (active_rows, done_rows) = q.split_at_mut(k * n);
        for (to, from) in done_rows.chunks_exact_mut(n).zip(deflated.chunks_exact(m)) {
            to[first..first + m].copy_from_slice(from);
        }
        let poles: Vec<f64> = active.iter().map(|&i| d[i]).collect();
        let weights: Vec<f64> = active.iter().map(|&i| z[i]).collect();
        let values: Vec<f64> = done.iter().map(|&i| d[i]).collect();
        d[k..].copy_from_slice(&values);
        if k == 0 {
            return;
        }
        let secular = Secular { d: &poles, z: &weights, rho };
        let tolerance = f64::max(f64::EPSILON / 2.0, 1e-3 * E::EPSILON.f64());
        // An even number of equal blocks.
        let (block, part) = match k.div_ceil(2 * k.div_ceil(2 * BLOCK)) {
            block if self.tasks(m) => (block, block.div_ceil(4)),
            _ => (k, k),
        };
        let mut roots = vec![Root::default(); k];
        each_block(&mut roots, part, |from, roots| {
            roots.iter_mut().enumerate().for_each(|(i, root)| *root = secular.root(from + i, tolerance));
        });
        let mut refined = vec![0.0; k];
        each_block(&mut refined, part, |from, z| secular.refine(&roots, from, z));
        let stored = |x: &[f64]| place.iter().map(|&a| x[a]).collect::<Vec<f64>>();
        let (stored_poles, stored_z) = (stored(&poles), stored(&refined));
        each_block(active_rows, block * n, |from, rows| {
            let (from, count) = (from / n, rows.len() / n);
            let mut x = vec![0.0; k];
            let mut u = vec![E::zero(); count * k];
            for (u, root) in u.chunks_exact_mut(k).zip(&roots[from..]) {
                vector(&stored_poles, &stored_z, poles[root.origin], root.offset, &mut x);
                let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                u.iter_mut().zip(&x).for_each(|(u, x)| *u = E::of(x / norm));
            }
            let layout = |cols: usize, inner: usize, a: usize, c: usize| Gemm {
                a: Strides::rows(k).at(a),
                c: Strides::rows(n).at(c),
                ..Gemm::new(count, cols, inner)
            };
            gemm(&layout(half, lefts + boths, 0, first), &u, top, rows);
            gemm(&layout(m - half, k - lefts, lefts, first + half), &u, bottom, rows);
        });
        for (d, root) in d.iter_mut().zip(&roots) {
            *d = poles[root.origin] + root.offset;
        }
    }

    /// Separates the pairs that are pairs of the whole already, rotating vectors where two values are nearly equal.
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

/// Replaces rows `p` and `j` by `c p + s j` and `c j − s p`.
fn rotate<E: Scalar>(q: &mut [E], n: usize, columns: std::ops::Range<usize>, p: usize, j: usize, c: E, s: E) {
    let (low, high) = (p.min(j), p.max(j));
    let (a, b) = q.split_at_mut(high * n);
    let (a, b) = (&mut a[low * n..][columns.clone()], &mut b[columns]);
    let (p, j) = if p < j { (a, b) } else { (b, a) };
    for (p, j) in p.iter_mut().zip(j) {
        (*p, *j) = (c * *p + s * *j, c * *j - s * *p);
    }
}

/// Calls both, as tasks or one after the other.
fn both<R: Send>(tasks: bool, f: impl FnOnce() -> R + Send, g: impl FnOnce() -> R + Send) -> (R, R) {
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
