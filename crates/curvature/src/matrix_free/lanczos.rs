//! Leading eigenpairs by the block Lanczos method with thick restarts.

use vivit_eigh::eigh;
use vivit_tensor::{Matrix, Rng, Tensor};

use super::basis::{Basis, Products, row_norms, scale_rows, with_signs};
use super::dense::dense;
use super::leading_eigenpairs::LeadingEigenpairs;
use super::search::{at_least_one, check_search, unfinished};
use super::spectrum_end::SpectrumEnd;
use crate::{Error, LinearOperator};

/// What errors call this search.
const METHOD: &str = "Lanczos";

/// Blocks that the search for missed copies of an eigenvalue takes at least.
const SEARCH: usize = 10;

vivit_tensor::options! {
    /// How [`lanczos`] searches.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct LanczosOptions {
        /// The end of the spectrum that is searched. Default: the largest eigenvalues.
        pub which: SpectrumEnd = SpectrumEnd::Largest,
        /// A pair counts as found if `|A q − λ q| ≤ tolerance · max |θ|` over all approximate
        /// eigenvalues θ. Default: 1e-5, which f32 reaches; f64 reaches 1e-10.
        pub tolerance: f64 = 1e-5,
        /// Products with vectors that may be spent. Default: 1000.
        pub max_products: usize = 1000,
        /// Vectors that are multiplied at a time. More than one costs more products in all, but an
        /// operator often makes several products in little more time than one. Default: 1.
        pub block: usize = 1,
        /// Vectors of the Krylov space beyond the k that are asked for, at least. More of them need
        /// fewer products and more memory; the ends of spectra that crowd there need many. Default:
        /// 20.
        pub extra: usize = 20,
        /// Vectors beyond k, at most, to which the Krylov space grows while products remain:
        /// `extra` doubles at every restart that left more than half of the largest residual.
        /// Default: 160.
        pub max_extra: usize = 160,
        /// Look for copies of eigenvalues that the search has missed, from a new random block
        /// orthogonal to what was found. Default: yes.
        ///
        /// A Krylov space of b starting vectors holds at most b vectors of an eigenspace. The
        /// second search takes at least ten blocks and ends when what it finds next is certainly no
        /// copy. If no eigenvalue among those asked for has more than `block` copies, this can be
        /// left out.
        pub copies: bool = true,
        /// Seed of the starting vectors. Default: 0.
        pub seed: u64 = 0,
    }
}

/// The `k` leading eigenpairs of a symmetric operator, by block Lanczos with thick restarts.
///
/// From a random block, rows `Q = [q_1 … q_m]` of the Krylov space are made orthonormal one after
/// the other, always against all rows before ("full re-orthogonalisation", at least twice), with `H
/// = Q A Qᵀ`: `[m, m]`. Eigenpairs `H s = θ s`, solved on the host in double precision, give Ritz
/// pairs `(θ, Qᵀ s)` with residual norms `|R s|`, where `R: [b, m]` are the products' components
/// along the next block. When m reaches `k + max(k, extra) + 2b`, the leading `k + (m − k)/2` Ritz
/// vectors and the next block are kept and the rest is thrown away (Wu & Simon, *Thick-restart
/// Lanczos method for large symmetric eigenvalue problems*, SIAM J. Matrix Anal. Appl. 22(2), 2000,
/// algorithm 3). Where the residuals shrink slowly from one restart to the next, m grows, until it
/// is `k + max(k, max_extra) + 2b`.
///
/// If a product leaves nothing new (an invariant subspace, as for operators of low rank), the
/// search goes on from a new random vector, so zero and repeated eigenvalues are found too. The
/// residuals that are returned are computed from k products of their own. An operator that is no
/// larger than the first Krylov space is made dense by D products and solved by
/// [`eigh`](vivit_eigh::eigh).
///
/// Cost: the products; `4 m D` multiply-adds per vector for orthogonality; memory for `k + max(k,
/// extra) + 3b` vectors, up to `k + max(k, max_extra) + 3b` where the space grows, twice that while
/// restarting. The same seed gives the same bits on the same
/// backend. Norms are computed as roots of sums of squares: entries whose squares leave the range
/// of the element type (1e-19 to 1e19 for f32) need a scaled operator.
///
/// ```
/// use vivit_curvature::{LanczosOptions, SpectrumEnd, lanczos};
/// use vivit_tensor::{Device, Tensor};
///
/// let entries = vec![2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0];
/// let a = Tensor::from_vec(&Device::cpu_f64(), [3, 3], entries)?;
/// let top = lanczos(&a, 2, &LanczosOptions::default())?;
/// assert!((top.eigenvalues[1] - (2.0 + 2f64.sqrt())).abs() < 1e-12);
/// assert!((top.eigenvalues[0] - 2.0).abs() < 1e-12);
/// let low = lanczos(&a, 1, &LanczosOptions::default().which(SpectrumEnd::Smallest))?;
/// assert!((low.eigenvalues[0] - (2.0 - 2f64.sqrt())).abs() < 1e-12);
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
///
/// # Errors
/// If `k` is 0 or more than D, an option is out of range, or a product fails or is not finite. If
/// the tolerance is not reached, the error holds what was found
/// ([`NoConvergence`](Error::NoConvergence)).
pub fn lanczos(
    operator: &dyn LinearOperator,
    k: usize,
    options: &LanczosOptions,
) -> Result<LeadingEigenpairs, Error> {
    let products = Products::new(operator)?;
    check_search(k, products.dim(), options.tolerance)?;
    at_least_one("block", options.block)?;
    at_least_one("extra", options.extra)?;
    let d = products.dim();
    if d <= capacity(k, options, options.extra, d) && d <= options.max_products {
        return dense(products, k, options.which, options.block, options.tolerance);
    }
    Search::new(products, k, options)?.run()
}

/// Vectors of a Krylov space with so many beyond k, and of its next blocks.
fn capacity(k: usize, options: &LanczosOptions, extra: usize, d: usize) -> usize {
    let block = options.block.min(d);
    (k.saturating_add(k.max(extra).max(block))).saturating_add(3 * block).min(d)
}

/// Ritz pairs, the leading one first.
struct Ritz {
    values: Vec<f64>,
    /// Coefficients in the basis, `[m, m]`.
    vectors: Matrix<f64>,
    residuals: Vec<f64>,
    /// The largest magnitude of a value so far.
    scale: f64,
}

struct Search<'a> {
    products: Products<'a>,
    options: &'a LanczosOptions,
    k: usize,
    rng: Rng,
    /// `m` rows that were multiplied, and the next block.
    basis: Basis,
    m: usize,
    /// `Q A Qᵀ`, as far as it is known.
    h: Matrix<f64>,
    /// The largest norm of a product so far: at most the operator's.
    norm: f64,
    /// The largest magnitude of a Ritz value so far.
    scale: f64,
    /// Vectors beyond k.
    extra: usize,
    /// The largest residual of the leading pairs at the last restart.
    worst: f64,
}

impl<'a> Search<'a> {
    fn new(products: Products<'a>, k: usize, options: &'a LanczosOptions) -> Result<Self, Error> {
        let d = products.dim();
        let capacity = capacity(k, options, options.extra, d);
        let basis = Basis::new(products.device(), capacity, d);
        let h = Matrix::zeros(capacity, capacity);
        Ok(Search {
            products,
            options,
            k,
            rng: Rng::new(options.seed),
            basis,
            m: 0,
            h,
            norm: 0.0,
            scale: 0.0,
            extra: options.extra,
            worst: f64::INFINITY,
        })
    }

    fn run(mut self) -> Result<LeadingEigenpairs, Error> {
        let (k, block, d) = (self.k, self.options.block, self.products.dim());
        let mut checked = 0;
        // The values before the search for copies, and the blocks that this has taken.
        let mut found: Option<(Vec<f64>, usize)> = None;
        loop {
            if self.basis.len() == self.m {
                // Leaves room for what the products bring.
                let room = if self.basis.capacity() < d {
                    (self.basis.capacity() - self.m) / 2
                } else {
                    d - self.m
                };
                self.basis.push_random(&mut self.rng, block.min(room))?;
            }
            let next = self.basis.len() - self.m;
            if self.products.done + next + k > self.options.max_products {
                return Err(self.no_convergence()?);
            }
            self.expand()?;
            found.iter_mut().for_each(|(_, blocks)| *blocks += 1);
            let next = self.basis.len() - self.m;
            let needed = if next == 0 { 2 } else { next };
            let full =
                self.basis.capacity() < d && self.basis.len() + needed > self.basis.capacity();
            let all = self.m == d;
            let due = self.m >= k && (self.m - checked).saturating_mul(8) >= self.m;
            if !(full || all || due) {
                continue;
            }
            let ritz = self.ritz()?;
            checked = self.m;
            let allowed = self.options.tolerance * ritz.scale;
            if self.m >= k
                && (all || ritz.residuals[..k].iter().all(|&residual| residual <= 0.5 * allowed))
            {
                let mut finished = all || !self.options.copies;
                let mut search = false;
                if let (false, Some((values, blocks))) = (finished, &found) {
                    let change = values
                        .iter()
                        .zip(&ritz.values)
                        .map(|(old, new)| (old - new).abs())
                        .fold(0.0, f64::max);
                    search = change > 2.0 * allowed;
                    finished = !search && *blocks >= SEARCH && self.is_no_copy(&ritz, allowed);
                }
                if finished {
                    if let Some(pairs) = self.finish(&ritz, allowed, all)? {
                        return Ok(pairs);
                    }
                    checked = self.m;
                    continue;
                }
                if search || found.is_none() {
                    found = Some((ritz.values[..k].to_vec(), 0));
                    self.restart(&ritz, k, false)?;
                    checked = self.m;
                    continue;
                }
            }
            if full {
                self.grow_if_slow(&ritz);
                self.restart(&ritz, k.min(self.m) + self.m.saturating_sub(k) / 2, true)?;
                checked = self.m;
            }
        }
    }

    /// Whether the first Ritz value beyond the k-th is well below it, or found, so that it is no
    /// eigenvalue that was missed.
    fn is_no_copy(&self, ritz: &Ritz, allowed: f64) -> bool {
        let k = self.k;
        ritz.values.get(k).is_some_and(|&value| {
            let gap = self.options.which.key(ritz.values[k - 1]) - self.options.which.key(value);
            ritz.residuals[k] <= gap.max(allowed)
        })
    }

    /// Multiplies the next block and makes another one of what is new in the products.
    fn expand(&mut self) -> Result<(), Error> {
        let (m, len, d) = (self.m, self.basis.len(), self.basis.dim());
        let (mut w, norms) = self.products.apply(&self.basis.slice(m, len))?;
        self.norm = norms.into_iter().fold(self.norm, f64::max);
        let floor = 10.0 * w.dtype().epsilon() * self.norm;
        let first = self.basis.project_out(&mut w)?;
        let rows: Vec<Tensor> = (0..len - m).map(|i| w.slice(i, i + 1)).collect();
        drop(w);
        for (i, mut row) in rows.into_iter().enumerate() {
            let at = m + i;
            let (mut taken, left) = if self.basis.len() < d {
                self.basis.push_orthogonal(row, floor)?
            } else {
                (self.basis.project_out(&mut row)?, 0.0) // nothing but rounding is left
            };
            taken
                .iter_mut()
                .zip(&first[i * len..])
                .take(len)
                .for_each(|(sum, first)| *sum += first);
            if left > 0.0 {
                taken.push(left);
            }
            for (j, &value) in taken.iter().enumerate() {
                // Entries inside the block are known from both sides.
                let value =
                    if (m..at).contains(&j) { 0.5 * (value + self.h[(j, at)]) } else { value };
                self.h[(at, j)] = value;
                self.h[(j, at)] = value;
            }
        }
        self.m = len;
        Ok(())
    }

    fn ritz(&mut self) -> Result<Ritz, Error> {
        let (m, len) = (self.m, self.basis.len());
        let eigen = eigh(Matrix::from_fn(m, m, |i, j| self.h[(i, j)]))
            .map_err(|source| Error::Projection { source })?;
        let mut order: Vec<usize> = (0..m).collect();
        let key = |i: &usize| self.options.which.key(eigen.values[*i]);
        order.sort_by(|i, j| key(j).total_cmp(&key(i)));
        let values: Vec<f64> = order.iter().map(|&i| eigen.values[i]).collect();
        let vectors = Matrix::from_fn(m, m, |i, j| eigen.vectors[(order[i], j)]);
        let residual = |i: usize| {
            let along =
                |row: usize| (0..m).map(|j| self.h[(row, j)] * vectors[(i, j)]).sum::<f64>();
            (m..len).map(|row| along(row).powi(2)).sum::<f64>().sqrt()
        };
        let residuals = (0..m).map(residual).collect();
        self.scale = values.iter().fold(self.scale, |scale, value| scale.max(value.abs()));
        Ok(Ritz { values, vectors, residuals, scale: self.scale })
    }

    /// Makes the next Krylov space larger if this one left more than half of the largest residual.
    fn grow_if_slow(&mut self, ritz: &Ritz) {
        let leading = &ritz.residuals[..self.k.min(self.m)];
        let worst = leading.iter().copied().fold(0.0, f64::max);
        if worst > 0.5 * self.worst {
            let larger = self.extra.saturating_mul(2).min(self.options.max_extra);
            self.extra = self.extra.max(larger);
        }
        self.worst = worst;
    }

    /// Keeps the `keep` leading Ritz vectors, and the next block or in its place new random
    /// vectors.
    fn restart(&mut self, ritz: &Ritz, keep: usize, next_block: bool) -> Result<(), Error> {
        let (m, len) = (self.m, self.basis.len());
        let s = Matrix::from_fn(keep, m, |i, j| ritz.vectors[(i, j)]);
        let vectors = self.basis.combine(&s)?;
        let capacity = capacity(self.k, self.options, self.extra, self.basis.dim());
        let mut basis = Basis::new(self.products.device(), capacity, self.basis.dim());
        (0..keep).for_each(|i| basis.push(&vectors, i, 1.0));
        drop(vectors);
        let mut h = Matrix::zeros(capacity, capacity);
        (0..keep).for_each(|i| h[(i, i)] = ritz.values[i]);
        if next_block {
            let next = self.basis.slice(m, len);
            for row in m..len {
                let at = basis.len();
                basis.push(&next, row - m, 1.0);
                for i in 0..keep {
                    let coupling = (0..m).map(|j| self.h[(row, j)] * s[(i, j)]).sum();
                    h[(at, i)] = coupling;
                    h[(i, at)] = coupling;
                }
            }
        }
        (self.basis, self.h, self.m) = (basis, h, keep);
        Ok(())
    }

    /// The leading pairs with residuals of their own, if these are small enough or nothing more can
    /// be done; else goes on from the worst.
    fn finish(
        &mut self,
        ritz: &Ritz,
        allowed: f64,
        all: bool,
    ) -> Result<Option<LeadingEigenpairs>, Error> {
        let (k, m, d) = (self.k, self.m, self.basis.dim());
        let vectors = self.basis.combine(&Matrix::from_fn(k, m, |i, j| ritz.vectors[(i, j)]))?;
        let (mut products, _) = self.products.apply(&vectors)?;
        products.axpy(-1.0, &scale_rows(&vectors, &ritz.values[..k])?);
        let residuals = row_norms(&products)?;
        // The whole space gives what the element type can: nothing is left to search.
        let rounding =
            if all { 100.0 * vectors.dtype().epsilon() * (d as f64) * ritz.scale } else { 0.0 };
        let small = residuals.iter().all(|&residual| residual <= allowed.max(rounding));
        if small || all {
            let pairs = LeadingEigenpairs::ascending(
                &ritz.values[..k],
                &with_signs(&vectors)?,
                &residuals,
                self.products.done,
            );
            return if small {
                Ok(Some(pairs))
            } else {
                Err(unfinished(METHOD, k, pairs, allowed))
            };
        }
        let mut worst: Vec<usize> = (0..k).collect();
        worst.sort_by(|&i, &j| residuals[j].total_cmp(&residuals[i]));
        let block = self.options.block.min(k).min(d - k);
        self.restart(ritz, k, false)?;
        for &i in &worst[..block] {
            let (_, left) = self.basis.push_orthogonal(products.slice(i, i + 1), 0.0)?;
            if left > 0.0 {
                let at = self.basis.len() - 1;
                self.h[(at, i)] = left;
                self.h[(i, at)] = left;
            }
        }
        Ok(None)
    }

    /// The error of a search that ends early: with the Ritz pairs that there are, whose residuals
    /// are those of the Krylov space, without products of their own.
    fn no_convergence(&mut self) -> Result<Error, Error> {
        let (k, found) = (self.k, self.k.min(self.m));
        if found == 0 {
            let none = self.basis.slice(0, 0);
            let pairs = LeadingEigenpairs::ascending(&[], &none, &[], self.products.done);
            return Ok(unfinished(METHOD, k, pairs, 0.0));
        }
        let ritz = self.ritz()?;
        let s = Matrix::from_fn(found, self.m, |i, j| ritz.vectors[(i, j)]);
        let pairs = LeadingEigenpairs::ascending(
            &ritz.values[..found],
            &with_signs(&self.basis.combine(&s)?)?,
            &ritz.residuals[..found],
            self.products.done,
        );
        Ok(unfinished(METHOD, k, pairs, self.options.tolerance * ritz.scale))
    }
}
