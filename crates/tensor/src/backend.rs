//! The seam between the library and a device.

use std::fmt::Debug;
use std::ops::Range;

use crate::{
    Binary, ConvDims, ConvWeights, Error, Gemm, PositionPairs, Reduce, Scalar, Shape, Unary, Window,
};

/// A device and an element type in one parameter: `Cpu<f32>`, `Cpu<f64>`.
///
/// Buffers are flat; shapes are arguments. A primitive takes what it reads by reference and returns
/// a new buffer, except for the few that accumulate. Callers ([`Tensor`](crate::Tensor)) have
/// checked shapes; a primitive may panic on lengths that do not fit. A device that fails
/// asynchronously remembers its first failure, returns it from [`check`](Backend::check) and
/// [`download`](Backend::download), and until then may hand out buffers of any content.
///
/// The required primitives suffice; the provided ones are written with them (or through the host)
/// and are there to be overridden where a device can do better. Every primitive must return the
/// same bits for the same input, however many threads run it.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// The element type.
    type Elem: Scalar;
    /// A buffer of elements. Cloning shares it.
    type Buf: Clone + Debug + Send + Sync;
    /// A buffer of 32-bit indices. Cloning shares it.
    type Index: Clone + Debug + Send + Sync;

    /// The device, in words.
    fn device(&self) -> String;
    /// Whether a buffer is one of this backend's own and has not come to grief: whether keeping it
    /// is worth while.
    fn can_read(&self, _buf: &Self::Buf) -> bool {
        true
    }
    /// The first failure of anything that runs asynchronously.
    ///
    /// # Errors
    /// That failure.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Bytes of memory that the device has, if that is known.
    fn memory(&self) -> Option<usize> {
        None
    }
    /// Whether both are the same memory for certain, and so equal. The default never knows.
    fn same(&self, a: &Self::Buf, b: &Self::Buf) -> bool {
        let _ = (a, b);
        false
    }
    /// Number of elements of a buffer.
    fn len(&self, buf: &Self::Buf) -> usize;
    /// Moves host data to the device.
    fn upload(&self, data: Vec<Self::Elem>) -> Self::Buf;
    /// Moves host indices to the device.
    fn upload_index(&self, data: Vec<u32>) -> Self::Index;
    /// Copies a buffer to the host.
    ///
    /// # Errors
    /// If the device failed, now or before.
    fn download(&self, buf: &Self::Buf) -> Result<Vec<Self::Elem>, Error>;
    /// A buffer of `len` times `value`.
    fn fill(&self, len: usize, value: Self::Elem) -> Self::Buf;
    /// A buffer of `len` elements of any value, for a product that overwrites all of it.
    fn scratch(&self, len: usize) -> Self::Buf {
        self.fill(len, Self::Elem::of(0.0))
    }
    /// The elements in `range`, shared where the device can.
    fn slice(&self, x: &Self::Buf, range: Range<usize>) -> Self::Buf;
    /// Reads `x` as an array of `shape` with the given strides (0 repeats): permutation,
    /// broadcasting, sub-sampling in one.
    fn copy_strided(&self, x: &Self::Buf, shape: &Shape, strides: &[usize]) -> Self::Buf;
    /// Of `x: [outer, axis, inner]` the entries `pick` of the middle axis, `[outer, pick.len(),
    /// inner]`.
    fn select(
        &self,
        x: &Self::Buf,
        outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> Self::Buf;
    /// Surrounds `x` with zeros: `pads[i] = (before, after)` along axis `i`; a negative number
    /// crops.
    fn pad(&self, x: &Self::Buf, shape: &Shape, pads: &[(isize, isize)]) -> Self::Buf;
    /// `f(x)`.
    fn unary(&self, f: Unary, x: &Self::Buf) -> Self::Buf;
    /// `mat[v, i] · f′(x[i])` with `y = f(x)`; `mat: [v, x.len()]`.
    fn unary_chain(&self, f: Unary, x: &Self::Buf, y: &Self::Buf, mat: &Self::Buf) -> Self::Buf;
    /// `f″(x)` with `y = f(x)`.
    fn unary_second(&self, f: Unary, x: &Self::Buf, y: &Self::Buf) -> Self::Buf;
    /// `f(a, b)` over the shape that both broadcast to.
    fn binary(
        &self,
        f: Binary,
        a: (&Self::Buf, &Shape),
        b: (&Self::Buf, &Shape),
        out: &Shape,
    ) -> Self::Buf;
    /// `y += alpha · x`.
    fn axpy(&self, alpha: f64, x: &Self::Buf, y: &mut Self::Buf);
    /// Reduces the middle axis of `x: [outer, axis, inner]`, to `[outer, inner]`, in a fixed order.
    fn reduce(
        &self,
        f: Reduce,
        x: &Self::Buf,
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> Self::Buf;
    /// The matrix product that `g` describes.
    fn gemm(&self, g: &Gemm, a: &Self::Buf, b: &Self::Buf, c: &mut Self::Buf);
    /// `x: [planes, *input]` to `[planes, kernel, windows]`: what each kernel element sees; zero in
    /// the padding.
    fn unfold(&self, x: &Self::Buf, planes: usize, window: &Window) -> Self::Buf;
    /// The adjoint of [`unfold`](Backend::unfold): sums `[planes, kernel, windows]` back to
    /// `[planes, *input]`.
    fn fold(&self, x: &Self::Buf, planes: usize, window: &Window) -> Self::Buf;
    /// For every window the position (in its plane) of its largest element, the first one of
    /// several; a NaN wins.
    fn argmax(&self, x: &Self::Buf, planes: usize, window: &Window) -> Self::Index;
    /// `out[v, p, o] = x[v, p, index[p, o]]` for `x: [v, planes, input]`, `index: [planes,
    /// windows]`.
    fn take(&self, x: &Self::Buf, index: &Self::Index, planes: usize, window: &Window)
    -> Self::Buf;
    /// The adjoint of [`take`](Backend::take): `out[v, p, index[p, o]] += x[v, p, o]`.
    fn put(&self, x: &Self::Buf, index: &Self::Index, planes: usize, window: &Window) -> Self::Buf;

    /// The positions of an index of `entries` entries moved from planes of shape `from` to planes
    /// of shape `to`, which begin `first` behind the others' begin; and 1 for every entry that is
    /// inside, 0 for the others, whose position may be any. `None` if the backend can't.
    fn move_index(
        &self,
        index: &Self::Index,
        entries: usize,
        from: [usize; 3],
        first: [isize; 3],
        to: [usize; 3],
    ) -> Option<(Self::Index, Self::Buf)> {
        let _ = (index, entries, from, first, to);
        None
    }

    /// The lower half of `C[r, r] += A[r, d] · Aᵀ`; entries above the diagonal are unspecified.
    fn syrk(&self, r: usize, d: usize, a: &Self::Buf, c: &mut Self::Buf) {
        self.gemm(&Gemm::nt(r, r, d).accumulating(), a, a, c);
    }

    /// `acc[i, j] += x[i, j] · y[i mod m, j mod n]` for `acc, x: [rows, cols]`, `y: [m, n]`: a Gram
    /// block of outer products.
    fn add_tiled_product(
        &self,
        acc: &mut Self::Buf,
        x: &Self::Buf,
        (rows, cols): (usize, usize),
        y: &Self::Buf,
        (m, n): (usize, usize),
    ) {
        let tiled = Shape::from([rows / m, m, cols / n, n]);
        let product =
            self.binary(Binary::Mul, (x, &tiled), (y, &Shape::from([1, m, 1, n])), &tiled);
        self.axpy(1.0, &product, acc);
    }

    /// Adds what `pairs` describes to `c`, if the backend is better at it than at the two products
    /// that it consists of; whether it was added.
    ///
    /// Columns are likely to be zero at the same places, and these may be left out: there, K counts
    /// as finite.
    fn add_position_pairs(
        &self,
        pairs: &PositionPairs,
        k: &Self::Buf,
        left: &Self::Buf,
        right: &Self::Buf,
        c: &mut Self::Buf,
    ) -> bool {
        let _ = (pairs, k, left, right, c);
        false
    }

    /// What each window sees of `c` planes together: `x: [n, c, *input]` to `[n, windows,
    /// c·kernel]`, zero in the padding.
    fn unfold_windows(&self, x: &Self::Buf, n: usize, c: usize, window: &Window) -> Self::Buf {
        let (i, t) = (c * window.kernel_len(), window.output_len());
        let unfolded = self.unfold(x, n * c, window);
        self.copy_strided(&unfolded, &Shape::from([n, t, i]), &[i * t, 1, t])
    }

    /// Sum over each window of `x: [planes, *input]`, to `[planes, windows]`; the padding counts as
    /// zero.
    fn window_sum(&self, x: &Self::Buf, planes: usize, window: &Window) -> Self::Buf {
        let unfolded = self.unfold(x, planes, window);
        self.reduce(Reduce::Sum, &unfolded, planes, window.kernel_len(), window.output_len())
    }

    /// The adjoint of [`window_sum`](Backend::window_sum).
    fn window_spread(&self, x: &Self::Buf, planes: usize, window: &Window) -> Self::Buf {
        let shape = Shape::from([planes, window.kernel_len(), window.output_len()]);
        let repeated = self.copy_strided(x, &shape, &[window.output_len(), 0, 1]);
        self.fold(&repeated, planes, window)
    }

    /// Convolution (cross-correlation): `x: [n, groups·c, *input]`, `w: [groups·o, c, *kernel]`, to
    /// `[n, groups·o, windows]`.
    fn conv(
        &self,
        x: &Self::Buf,
        w: &Self::Buf,
        n: usize,
        dims: ConvDims,
        window: &Window,
    ) -> Self::Buf {
        let ConvDims { groups, c, o } = dims;
        let (k, t) = (c * window.kernel_len(), window.output_len());
        let unfolded = self.unfold(x, n * groups * c, window);
        let mut y = self.scratch(n * groups * o * t);
        let g = Gemm::new(o, t, k).batch(n, 0, groups * k * t, groups * o * t).batch(
            groups,
            o * k,
            k * t,
            o * t,
        );
        self.gemm(&g, w, &unfolded, &mut y);
        y
    }

    /// The adjoint of [`conv`](Backend::conv) in `x`: `y: [columns, n, groups·o, windows]` to
    /// `[columns, n, groups·c, *input]`.
    ///
    /// Columns are likely to be zero at the same places, and a backend may leave these out: there,
    /// weights count as finite.
    fn conv_transposed(
        &self,
        y: &Self::Buf,
        w: &Self::Buf,
        [columns, n]: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> Self::Buf {
        let (ConvDims { groups, c, o }, n) = (dims, columns * n);
        let (k, t) = (c * window.kernel_len(), window.output_len());
        let mut unfolded = self.scratch(n * groups * k * t);
        let g = Gemm::tn(k, t, o).batch(n, 0, groups * o * t, groups * k * t).batch(
            groups,
            o * k,
            o * t,
            k * t,
        );
        self.gemm(&g, w, y, &mut unfolded);
        self.fold(&unfolded, n * groups * c, window)
    }

    /// The products that `p` describes.
    ///
    /// Columns are likely to be zero at the same places, and a backend may leave these out: there,
    /// the input counts as finite.
    fn conv_weights(&self, p: &ConvWeights, s: &Self::Buf, x: &Self::Buf) -> Self::Buf {
        let (planes, len) = (p.dims.groups * p.dims.c, p.window.input_len());
        let some = self.slice(x, p.samples.start * planes * len..p.samples.end * planes * len);
        let unfolded = self.unfold(&some, p.samples.len() * planes, &p.window);
        let mut out = self.scratch(p.len());
        self.gemm(&p.gemm(), s, &unfolded, &mut out);
        out
    }

    /// How much alike what windows see is: `z·zᵀ` between two sides of samples, `x: [M, G·C,
    /// *input]` and `y: [N, G·C, *input]`, for z what a window sees of a group: `[G, (m, window of
    /// x), (window of y, n)]`.
    fn window_products(
        &self,
        x: &Self::Buf,
        y: &Self::Buf,
        [m, n]: [usize; 2],
        [groups, c]: [usize; 2],
        window: &Window,
    ) -> Self::Buf {
        unfolded_products(self, x, y, [m, n], [groups, c], window)
    }

    /// Rows of a table: `table: [rows, width]`, `ids: [m]` (whole numbers below `rows`), to `[m,
    /// width]`.
    fn lookup(
        &self,
        table: &Self::Buf,
        ids: &Self::Buf,
        (rows, width): (usize, usize),
    ) -> Self::Buf {
        let m = self.len(ids);
        let hot = self.one_hot(ids, rows);
        let mut out = self.scratch(m * width);
        self.gemm(&Gemm::new(m, width, rows), &hot, table, &mut out);
        out
    }

    /// `ids: [m]` where they are whole numbers below `rows`, NaN where not.
    ///
    /// # Errors
    /// If the device failed.
    fn row_or_nan(&self, ids: &Self::Buf, rows: usize) -> Result<Self::Buf, Error> {
        let is_row = |id: f64| id >= 0.0 && id < rows as f64 && id.fract() == 0.0;
        let mut ids = self.download(ids)?;
        ids.iter_mut().filter(|id| !is_row(id.f64())).for_each(|id| *id = Self::Elem::of(f64::NAN));
        Ok(self.upload(ids))
    }

    /// The identity matrix, `[n, n]`.
    fn eye(&self, n: usize) -> Self::Buf {
        let mut data = vec![Self::Elem::of(0.0); n * n];
        data.iter_mut().step_by(n + 1).for_each(|x| *x = Self::Elem::of(1.0));
        self.upload(data)
    }

    /// Whole numbers `ids: [m]` below `classes` as one-hot rows `[m, classes]`.
    fn one_hot(&self, ids: &Self::Buf, classes: usize) -> Self::Buf {
        let m = self.len(ids);
        let numbers = self.upload((0..classes).map(|class| Self::Elem::of(class as f64)).collect());
        let full = Shape::from([m, classes]);
        let apart = self.binary(
            Binary::Sub,
            (ids, &Shape::from([m, 1])),
            (&numbers, &Shape::from([classes])),
            &full,
        );
        // 1 − |difference| below at 0: one where equal, zero from a distance of one on.
        let near = self.unary(
            Unary::Shift(1.0),
            &self.unary(Unary::Scale(-1.0), &self.unary(Unary::Square, &apart)),
        );
        self.unary(Unary::Relu, &near)
    }

    /// Softmax over the middle axis of `x: [outer, axis, inner]`, shifted by the maximum.
    fn softmax(&self, x: &Self::Buf, outer: usize, axis: usize, inner: usize) -> Self::Buf {
        let (full, thin) = (Shape::from([outer, axis, inner]), Shape::from([outer, 1, inner]));
        let max = self.reduce(Reduce::Max, x, outer, axis, inner);
        let exp =
            self.unary(Unary::Exp, &self.binary(Binary::Sub, (x, &full), (&max, &thin), &full));
        let sum = self.reduce(Reduce::Sum, &exp, outer, axis, inner);
        self.binary(Binary::Div, (&exp, &full), (&sum, &thin), &full)
    }

    /// Draws one entry of the middle axis of `p: [outer, axis, inner]` per (outer, inner), with
    /// probabilities `p` and the uniform number `u: [m, outer, inner]`, as one-hot vectors `[m,
    /// outer, axis, inner]`.
    fn draw_one_hot(
        &self,
        p: &Self::Buf,
        u: &[f64],
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> Result<Self::Buf, Error> {
        let p = self.download(p)?;
        let mut hot = vec![Self::Elem::of(0.0); u.len() * axis];
        for (at, &u) in u.iter().enumerate() {
            let (o, i) = (at / inner % outer.max(1), at % inner);
            let mut below = 0.0;
            let mut drawn = 0; // rounding may leave the sum below u: then the last possible entry is drawn
            for a in 0..axis {
                let chance = p[(o * axis + a) * inner + i].f64();
                below += chance;
                if chance > 0.0 {
                    drawn = a;
                }
                if u < below {
                    break;
                }
            }
            hot[(at / inner * axis + drawn) * inner + i] = Self::Elem::of(1.0);
        }
        Ok(self.upload(hot))
    }

    /// Position of the first NaN or infinity.
    ///
    /// # Errors
    /// If the device failed.
    fn first_non_finite(&self, x: &Self::Buf) -> Result<Option<usize>, Error> {
        Ok(self.download(x)?.iter().position(|e| !e.f64().is_finite()))
    }

    /// Looks for NaN and infinities in several arrays. A device goes on meanwhile: nothing is
    /// waited for.
    ///
    /// A backend whose searches are [`Pending`](Search::Pending) has its own
    /// [`answer`](Backend::answer) and [`mark`](Backend::mark), too.
    ///
    /// # Errors
    /// If the device failed.
    fn search_non_finite(&self, arrays: &[&Self::Buf]) -> Result<Search<Self::Index>, Error> {
        for (number, array) in arrays.iter().enumerate() {
            if let Some(at) = self.first_non_finite(array)? {
                return Ok(Search::Done(Some((number, at))));
            }
        }
        Ok(Search::Done(None))
    }

    /// Number and position of the first array with a NaN or infinity, and of that entry. Waits for
    /// a pending search.
    ///
    /// # Errors
    /// If the device failed.
    fn answer(&self, search: &Search<Self::Index>) -> Result<Option<(usize, usize)>, Error> {
        match search {
            Search::Done(found) => Ok(*found),
            Search::Pending(_) => unreachable!("a backend with pending searches answers them"),
        }
    }

    /// Makes the first entry of a result NaN if the search has found something, so that reading the
    /// result tells; nothing is waited for.
    fn mark(&self, search: &Search<Self::Index>, x: &mut Self::Buf) {
        if let Search::Done(Some(_)) = search {
            let same = x.clone();
            self.axpy(f64::NAN, &same, x);
        }
    }
}

/// A search for NaN and infinities in several arrays.
#[derive(Clone, Debug)]
pub enum Search<I> {
    /// Number and position of the first array that has one, and of that entry.
    Done(Option<(usize, usize)>),
    /// Under way on a device: per array the position of the first one, `u32::MAX` where there is
    /// none.
    Pending(I),
}

/// [`Backend::window_products`] of unfolded inputs.
pub(crate) fn unfolded_products<B: Backend>(
    backend: &B,
    x: &B::Buf,
    y: &B::Buf,
    [m, n]: [usize; 2],
    [groups, c]: [usize; 2],
    window: &Window,
) -> B::Buf {
    let (t, i) = (window.output_len(), c * window.kernel_len());
    let (rows, cols) = (m * t, t * n);
    // `[m, G, t, i]` and `[G, i, t, n]`.
    let z = backend.unfold_windows(x, m * groups, c, window);
    let other = backend.unfold(y, n * groups * c, window);
    let other = backend.copy_strided(
        &other,
        &Shape::from([groups, i, t, n]),
        &[i * t, t, 1, groups * i * t],
    );
    let mut out = backend.scratch(groups * rows * cols);
    let g = Gemm::new(t, cols, i).batch(groups, t * i, i * cols, rows * cols).batch(
        m,
        groups * t * i,
        0,
        t * cols,
    );
    // Of one group, all windows are rows of one product.
    let g = if groups == 1 { Gemm::new(rows, cols, i) } else { g };
    backend.gemm(&g, &z, &other, &mut out);
    out
}
