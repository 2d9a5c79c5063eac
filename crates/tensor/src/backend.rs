//! The seam between the library and a device.

use std::fmt::Debug;
use std::sync::Arc;

use crate::{
    AsAny, AxisPicks, Binary, Buffer, ConvDims, ConvWeights, DType, Error, Gemm, HostVec, Index,
    PositionPairs, Reduce, Shape, Strides, Unary, Window,
};

/// The primitives of one device in one precision; an object behind a [`Device`](crate::Device).
///
/// Buffers are flat; shapes are arguments, as `[outer, axis, inner]` or row counts before column
/// counts. A primitive takes what it reads by reference and returns a new buffer, except for the
/// few that accumulate. Callers ([`Tensor`](crate::Tensor)) have checked shapes and that all
/// buffers are of this backend; a primitive may panic on lengths that do not fit, and panics on
/// another backend's buffers. A device that fails asynchronously remembers its first failure,
/// returns it from [`check`](Backend::check) and [`download`](Backend::download), and until then
/// may hand out buffers of any content.
///
/// The trait has four parts. *Required*: 28 methods, without which there is no backend: what it is
/// (`name`, `dtype`, `with_dtype`), memory (`upload`, `upload_index`, `download`, `fill`), copies
/// (`copy_strided`, `index_select`, `pad`), arithmetic (`unary`, `unary_chain`, `unary_second`,
/// `binary`, `select`, `axpy`, `reduce`, `gemm`), windows (`unfold`, `fold`, `argmax`, `gather`,
/// `scatter_add`), and entries chosen along an axis (`positions`, `gather_axis`, `scatter_axis`,
/// `first_equal`, `cumsum`).
/// *Structure*: what else the device is and holds. *Provided*: primitives that are written with
/// the required ones, or through the host. *Speed*: provided ones that have one caller each, whose
/// default is their definition. Override what the device does better; start with `scratch`, `eye`,
/// `softmax`, `conv` and `conv_transposed`. Every primitive must return the same bits for the same
/// input, however many threads run it.
///
/// ```
/// use vivit_tensor::{Device, HostVec, Unary};
///
/// let device = Device::cpu(); // its methods are the backend's
/// let x = device.upload(HostVec::from(vec![1.0, 4.0, 9.0]));
/// let roots = device.unary(Unary::Sqrt, &x);
/// assert_eq!(device.download(&roots)?.into_vec::<f64>(), [1.0, 2.0, 3.0]);
/// # Ok::<(), vivit_tensor::Error>(())
/// ```
pub trait Backend: AsAny + Debug + Send + Sync {
    // Required: what the device is.

    /// The device and the precision, in words.
    fn name(&self) -> String;
    /// The precision of all its buffers.
    fn dtype(&self) -> DType;
    /// The same device in another precision; the same object for the same precision every time, so
    /// that arrays mix.
    ///
    /// # Errors
    /// If the device does not compute in it.
    fn with_dtype(&self, dtype: DType) -> Result<Arc<dyn Backend>, Error>;

    // Required: memory.

    /// Moves host data to the device, rounded to its precision.
    fn upload(&self, data: HostVec) -> Buffer;
    /// Moves host indices to the device.
    fn upload_index(&self, data: Vec<u32>) -> Index;
    /// Copies a buffer to the host, in the device's precision.
    ///
    /// # Errors
    /// If the device failed, now or before.
    fn download(&self, buf: &Buffer) -> Result<HostVec, Error>;
    /// A buffer of `len` times `value`.
    fn fill(&self, len: usize, value: f64) -> Buffer;

    // Required: arithmetic.

    /// Reads `x` as an array of `shape` with the given strides (0 repeats): permutation,
    /// broadcasting, sub-sampling in one.
    fn copy_strided(&self, x: &Buffer, shape: &Shape, strides: &[usize]) -> Buffer;
    /// Of `x: [outer, axis, inner]` the entries `pick` of the middle axis, `[outer, pick.len(),
    /// inner]`.
    fn index_select(
        &self,
        x: &Buffer,
        outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> Buffer;
    /// Surrounds `x` with zeros: `pads[i] = (before, after)` along axis `i`; a negative number
    /// crops.
    fn pad(&self, x: &Buffer, shape: &Shape, pads: &[(isize, isize)]) -> Buffer;
    /// `f(x)`.
    fn unary(&self, f: Unary, x: &Buffer) -> Buffer;
    /// `mat[v, i] · f′(x[i])` with `y = f(x)`; `mat: [v, x.len()]`.
    fn unary_chain(&self, f: Unary, x: &Buffer, y: &Buffer, mat: &Buffer) -> Buffer;
    /// `f″(x)` with `y = f(x)`.
    fn unary_second(&self, f: Unary, x: &Buffer, y: &Buffer) -> Buffer;
    /// `f(a, b)` over the shape that both broadcast to.
    fn binary(&self, f: Binary, a: (&Buffer, &Shape), b: (&Buffer, &Shape), out: &Shape) -> Buffer;
    /// `a` where `mask` is not zero, `b` elsewhere, over the shape that all three broadcast to.
    /// Infinities and NaN of the one that is not chosen do not matter.
    fn select(
        &self,
        mask: (&Buffer, &Shape),
        a: (&Buffer, &Shape),
        b: (&Buffer, &Shape),
        out: &Shape,
    ) -> Buffer;
    /// `y += alpha · x`.
    fn axpy(&self, alpha: f64, x: &Buffer, y: &mut Buffer);
    /// Reduces the middle axis of `x: [outer, axis, inner]`, to `[outer, inner]`, in a fixed order.
    fn reduce(&self, f: Reduce, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer;
    /// The matrix product that `g` describes.
    fn gemm(&self, g: &Gemm, a: &Buffer, b: &Buffer, c: &mut Buffer);
    /// `x: [planes, *input]` to `[planes, kernel, windows]`: what each kernel element sees; zero in
    /// the padding.
    fn unfold(&self, x: &Buffer, planes: usize, window: &Window) -> Buffer;
    /// The adjoint of [`unfold`](Backend::unfold): sums `[planes, kernel, windows]` back to
    /// `[planes, *input]`.
    fn fold(&self, x: &Buffer, planes: usize, window: &Window) -> Buffer;
    /// For every window the position (in its plane) of its largest element, the first one of
    /// several; a NaN wins.
    fn argmax(&self, x: &Buffer, planes: usize, window: &Window) -> Index;
    /// `out[v, p, o] = x[v, p, index[p, o]]` for `x: [v, planes, input]`, `index: [planes,
    /// windows]`.
    fn gather(&self, x: &Buffer, index: &Index, planes: usize, window: &Window) -> Buffer;
    /// The adjoint of [`gather`](Backend::gather): `out[v, p, index[p, o]] += x[v, p, o]`.
    fn scatter_add(&self, x: &Buffer, index: &Index, planes: usize, window: &Window) -> Buffer;

    // Required: along an axis, entries chosen and summed.

    /// The numbers of entries of an array of shape `axes` (row-major) from their coordinates `x:
    /// [*, axes.len()]`, whole numbers (rounded to some). Where one of them is none of its axis,
    /// NaN included, the number is `u32::MAX`.
    fn positions(&self, x: &Buffer, axes: &[usize]) -> Index;
    /// The entries of `x` that `picks` chooses; NaN for a position outside the axis.
    fn gather_axis(&self, x: &Buffer, index: &Index, picks: &AxisPicks) -> Buffer;
    /// The adjoint of [`gather_axis`](Backend::gather_axis): `x[c, n, o, index[n, p], i] += y[c, n,
    /// o, p, i]`, from zeros and in the order of p, over samples too where x has no sample axis.
    /// What goes to a position outside the axis is left out.
    fn scatter_axis(&self, y: &Buffer, index: &Index, picks: &AxisPicks) -> Buffer;
    /// Running sums over the middle axis of `x: [outer, axis, inner]`: of the entries up to each
    /// one, itself left out if `exclusive`; with `reverse`, from the end.
    fn cumsum(&self, x: &Buffer, shape: [usize; 3], exclusive: bool, reverse: bool) -> Buffer;
    /// For every position of `index: [*, len]` where in its row of `len` an equal one stands first.
    fn first_equal(&self, index: &Index, len: usize) -> Index;

    // Structure.

    /// Returns `true` if `buf` was allocated by this backend and its last write succeeded, so that
    /// caching it is useful.
    fn is_readable(&self, buf: &Buffer) -> bool {
        let _ = buf;
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
    /// A buffer of `len` elements of any value, for a product that overwrites all of it.
    fn scratch(&self, len: usize) -> Buffer {
        self.fill(len, 0.0)
    }

    // Provided.

    /// The lower half of `C[r, r] += A[r, d] · Aᵀ`; entries above the diagonal are unspecified.
    fn syrk(&self, r: usize, d: usize, a: &Buffer, c: &mut Buffer) {
        self.gemm(&Gemm::nt(r, r, d).accumulating(), a, a, c);
    }

    /// The parts side by side: `[outer, l₀]`, `[outer, l₁]`, … to `[outer, l₀ + l₁ + …]`.
    fn concat(&self, parts: &[&Buffer], outer: usize) -> Buffer {
        let (left, right) = match parts {
            [] => return self.fill(0, 0.0),
            [one] => return (*one).clone(),
            _ => parts.split_at(parts.len() / 2),
        };
        let sides = [left, right].map(|parts| self.concat(parts, outer));
        let lens = [0, 1].map(|side| sides[side].len() / outer.max(1));
        let place = |side: usize, pads: (usize, usize)| {
            let pads = [(0, 0), (pads.0 as isize, pads.1 as isize)];
            self.pad(&sides[side], &Shape::from([outer, lens[side]]), &pads)
        };
        let mut joined = place(0, (0, lens[1]));
        self.axpy(1.0, &place(1, (lens[0], 0)), &mut joined);
        joined
    }

    /// `y[o, first + i] += x[o, i]` for `x: [outer, l]`, `y: [outer, m]`, `first + l ≤ m`: the rest
    /// of y is not touched.
    fn add_part(&self, x: &Buffer, y: &mut Buffer, outer: usize, first: usize) {
        let (len, row) = (x.len() / outer.max(1), y.len() / outer.max(1));
        let column = Strides::rows(1);
        let g = Gemm { a: column, b: column, c: column.at(first), ..Gemm::new(len, 1, 1) };
        let one = self.fill(1, 1.0);
        self.gemm(&g.batch(outer, len, 0, row).accumulating(), x, &one, y);
    }

    /// Sum over each window of `x: [planes, *input]`, to `[planes, windows]`; the padding counts as
    /// zero.
    fn window_sum(&self, x: &Buffer, planes: usize, window: &Window) -> Buffer {
        let unfolded = self.unfold(x, planes, window);
        self.reduce(Reduce::Sum, &unfolded, planes, window.kernel_len(), window.output_len())
    }

    /// The adjoint of [`window_sum`](Backend::window_sum).
    fn window_spread(&self, x: &Buffer, planes: usize, window: &Window) -> Buffer {
        let shape = Shape::from([planes, window.kernel_len(), window.output_len()]);
        let repeated = self.copy_strided(x, &shape, &[window.output_len(), 0, 1]);
        self.fold(&repeated, planes, window)
    }

    /// Convolution (cross-correlation): `x: [n, groups·c, *input]`, `w: [groups·o, c, *kernel]`, to
    /// `[n, groups·o, windows]`.
    fn conv(&self, x: &Buffer, w: &Buffer, n: usize, dims: ConvDims, window: &Window) -> Buffer {
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
        y: &Buffer,
        w: &Buffer,
        [columns, n]: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> Buffer {
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

    /// `ids: [m]` where they are whole numbers below `rows`, NaN where not. With `from_end` a
    /// negative number counts from the end: −1 becomes `rows − 1`.
    ///
    /// # Errors
    /// If the device failed.
    fn row_or_nan(&self, ids: &Buffer, rows: usize, from_end: bool) -> Result<Buffer, Error> {
        let row = |id: f64| {
            let row = if from_end && id < 0.0 { id + rows as f64 } else { id };
            let is_row = row >= 0.0 && row < rows as f64 && row.fract() == 0.0;
            if is_row { row } else { f64::NAN }
        };
        let ids: Vec<f64> = self.download(ids)?.into_vec();
        Ok(self.upload(HostVec::F64(ids.into_iter().map(row).collect())))
    }

    /// The identity matrix, `[n, n]`.
    fn eye(&self, n: usize) -> Buffer {
        let mut data = vec![0.0; n * n];
        data.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
        self.upload(HostVec::F64(data))
    }

    /// Whole numbers `ids: [m]` below `classes` as one-hot rows `[m, classes]`.
    fn one_hot(&self, ids: &Buffer, classes: usize) -> Buffer {
        let m = ids.len();
        let numbers = self.upload(HostVec::F64((0..classes).map(|class| class as f64).collect()));
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
    fn softmax(&self, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer {
        let (full, thin) = (Shape::from([outer, axis, inner]), Shape::from([outer, 1, inner]));
        let max = self.reduce(Reduce::Max, x, outer, axis, inner);
        let exp =
            self.unary(Unary::Exp, &self.binary(Binary::Sub, (x, &full), (&max, &thin), &full));
        let sum = self.reduce(Reduce::Sum, &exp, outer, axis, inner);
        self.binary(Binary::Div, (&exp, &full), (&sum, &thin), &full)
    }

    /// `p ∘ (M − Σ p ∘ M)` in the place of columns `mat: [v, outer, axis, inner]`, with the sum
    /// over the axis: softmax's Jacobian, which is symmetric, at probabilities `p: [outer, axis,
    /// inner]`.
    fn softmax_chain(&self, p: &Buffer, mat: &mut Buffer, outer: usize, axis: usize, inner: usize) {
        let v = mat.len() / p.len().max(1);
        let full = Shape::from([v, outer, axis, inner]);
        let (thin, own) = (Shape::from([v, outer, 1, inner]), Shape::from([outer, axis, inner]));
        let weighted = self.binary(Binary::Mul, (mat, &full), (p, &own), &full);
        let sums = self.reduce(Reduce::Sum, &weighted, v * outer, axis, inner);
        let centred = self.binary(Binary::Sub, (mat, &full), (&sums, &thin), &full);
        *mat = self.binary(Binary::Mul, (&centred, &full), (p, &own), &full);
    }

    /// Draws one entry of the middle axis of `p: [outer, axis, inner]` per (outer, inner), with
    /// probabilities `p` and the uniform number `u: [m, outer, inner]`, as one-hot vectors `[m,
    /// outer, axis, inner]`.
    fn draw_one_hot(
        &self,
        p: &Buffer,
        u: &[f64],
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> Result<Buffer, Error> {
        let p: Vec<f64> = self.download(p)?.into_vec();
        let mut hot = vec![0.0; u.len() * axis];
        for (at, &u) in u.iter().enumerate() {
            let (o, i) = (at / inner % outer.max(1), at % inner);
            let mut below = 0.0;
            // Rounding may leave the sum below u: then the last possible entry is drawn.
            let mut drawn = 0;
            for a in 0..axis {
                let chance = p[(o * axis + a) * inner + i];
                below += chance;
                if chance > 0.0 {
                    drawn = a;
                }
                if u < below {
                    break;
                }
            }
            hot[(at / inner * axis + drawn) * inner + i] = 1.0;
        }
        Ok(self.upload(HostVec::F64(hot)))
    }

    /// Position of the first NaN or infinity.
    ///
    /// # Errors
    /// If the device failed.
    fn first_non_finite(&self, x: &Buffer) -> Result<Option<usize>, Error> {
        let x: Vec<f64> = self.download(x)?.into_vec();
        Ok(x.iter().position(|x| !x.is_finite()))
    }

    /// Looks for NaN and infinities in several arrays. A device goes on meanwhile: nothing is
    /// waited for.
    ///
    /// # Errors
    /// If the device failed.
    fn search_non_finite(&self, arrays: &[&Buffer]) -> Result<NonFiniteSearch, Error> {
        for (number, array) in arrays.iter().enumerate() {
            if let Some(at) = self.first_non_finite(array)? {
                return Ok(NonFiniteSearch::Done(Some((number, at))));
            }
        }
        Ok(NonFiniteSearch::Done(None))
    }

    // Speed.

    /// Translates indices from planes of shape `from` to planes of shape `to`, whose first entry
    /// lies at `first` of the others; and a mask that is 1 where an entry stays inside and 0
    /// elsewhere (there, the position may be any). `None` if the backend has no such primitive.
    fn translate_index(
        &self,
        index: &Index,
        entries: usize,
        from: [usize; 3],
        first: [isize; 3],
        to: [usize; 3],
    ) -> Option<(Index, Buffer)> {
        let _ = (index, entries, from, first, to);
        None
    }

    /// Rows of `x: [rows, block]` normalised: `(x − μ)/σ`, `σ² = mean((x − μ)²) + ε`, with the mean
    /// μ, or 0 without `centre`.
    fn normalize(&self, x: &Buffer, block: usize, centre: bool, epsilon: f64) -> Buffer {
        let (rows, full) =
            (Shape::from([x.len() / block, 1]), Shape::from([x.len() / block, block]));
        let inverse = self.inverse_deviations(x, block, centre, epsilon);
        let centred = centred(self, x, block, centre);
        self.binary(Binary::Mul, (&centred, &full), (&inverse, &rows), &full)
    }

    /// `1/σ` of the rows that [`normalize`](Backend::normalize) normalises: `[rows]`.
    fn inverse_deviations(&self, x: &Buffer, block: usize, centre: bool, epsilon: f64) -> Buffer {
        let centred = centred(self, x, block, centre);
        let squares = self.reduce(Reduce::SumSquares, &centred, x.len() / block, block, 1);
        let variance = self.unary(Unary::Scale(1.0 / block as f64), &squares);
        let deviation = self.unary(Unary::Sqrt, &self.unary(Unary::Shift(epsilon), &variance));
        self.unary(Unary::Recip, &deviation)
    }

    /// `(M − mean(M) − x̂ mean(x̂ ∘ M))/σ` for columns `mat: [v, rows, block]`, with the means of
    /// rows: the Jacobian of [`normalize`](Backend::normalize), which is symmetric, at its result
    /// `normal: [rows, block]` with `inverse: [rows]`. Without `centre`, `mean(M)` is left out.
    fn normalize_chain(
        &self,
        normal: &Buffer,
        inverse: &Buffer,
        mat: &Buffer,
        block: usize,
        centre: bool,
    ) -> Buffer {
        let (rows, v) = (normal.len() / block, mat.len() / normal.len().max(1));
        let (own, thin) = (Shape::from([rows, block]), Shape::from([v, rows, 1]));
        let full = Shape::from([v, rows, block]);
        let share = Unary::Scale(1.0 / block as f64);
        let along = self.binary(Binary::Mul, (mat, &full), (normal, &own), &full);
        let along = self.unary(share, &self.reduce(Reduce::Sum, &along, v * rows, block, 1));
        let removed = self.binary(Binary::Mul, (normal, &own), (&along, &thin), &full);
        let rest = self.binary(
            Binary::Sub,
            (&centred(self, mat, block, centre), &full),
            (&removed, &full),
            &full,
        );
        self.binary(Binary::Mul, (&rest, &full), (inverse, &Shape::from([rows, 1])), &full)
    }

    /// `acc[i, j] += x[i, j] · y[i mod m, j mod n]` for `acc, x: [rows, cols]`, `y: [m, n]`: a Gram
    /// block of outer products.
    fn add_tiled_product(
        &self,
        acc: &mut Buffer,
        x: &Buffer,
        (rows, cols): (usize, usize),
        y: &Buffer,
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
        k: &Buffer,
        left: &Buffer,
        right: &Buffer,
        c: &mut Buffer,
    ) -> bool {
        let _ = (pairs, k, left, right, c);
        false
    }

    /// What each window sees of `c` planes together: `x: [n, c, *input]` to `[n, windows,
    /// c·kernel]`, zero in the padding.
    fn unfold_windows(&self, x: &Buffer, n: usize, c: usize, window: &Window) -> Buffer {
        let (i, t) = (c * window.kernel_len(), window.output_len());
        let unfolded = self.unfold(x, n * c, window);
        self.copy_strided(&unfolded, &Shape::from([n, t, i]), &[i * t, 1, t])
    }

    /// The products that `p` describes.
    ///
    /// Columns are likely to be zero at the same places, and a backend may leave these out: there,
    /// the input counts as finite.
    fn conv_weights(&self, p: &ConvWeights, s: &Buffer, x: &Buffer) -> Buffer {
        let (planes, len) = (p.dims.groups * p.dims.c, p.window.input_len());
        let some = x.slice(p.samples.start * planes * len..p.samples.end * planes * len);
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
        x: &Buffer,
        y: &Buffer,
        [m, n]: [usize; 2],
        [groups, c]: [usize; 2],
        window: &Window,
    ) -> Buffer {
        unfolded_products(self, x, y, [m, n], [groups, c], window)
    }
}

/// A search for NaN and infinities in several arrays.
#[derive(Clone, Debug)]
pub enum NonFiniteSearch {
    /// Number and position of the first array that has one, and of that entry.
    Done(Option<(usize, usize)>),
    /// Under way on a device.
    Pending(Arc<dyn PendingSearch>),
}

impl NonFiniteSearch {
    /// Number and position of the first array with a NaN or infinity, and of that entry. Waits for
    /// a pending search.
    ///
    /// # Errors
    /// If the device failed.
    pub fn wait(&self) -> Result<Option<(usize, usize)>, Error> {
        match self {
            NonFiniteSearch::Done(found) => Ok(*found),
            NonFiniteSearch::Pending(search) => search.wait(),
        }
    }

    /// Sets the first element of `x`, a buffer of `backend`, to NaN if the search has found
    /// something, so that reading `x` tells. Does not block.
    pub fn mark(&self, backend: &dyn Backend, x: &mut Buffer) {
        match self {
            NonFiniteSearch::Done(None) => {}
            NonFiniteSearch::Done(Some(_)) => {
                let same = x.clone();
                backend.axpy(f64::NAN, &same, x);
            }
            NonFiniteSearch::Pending(search) => search.mark(x),
        }
    }
}

/// A search that a device has started.
pub trait PendingSearch: Debug + Send + Sync {
    /// Waits for the search: number and position of the first array with a NaN or infinity, and of
    /// that entry.
    ///
    /// # Errors
    /// If the device failed.
    fn wait(&self) -> Result<Option<(usize, usize)>, Error>;
    /// Sets the first element of `x` to NaN on the device if the search finds something. Does not
    /// block.
    fn mark(&self, x: &mut Buffer);
}

/// Rows of `x: [rows, block]` less their means; as they are without `centre`.
fn centred<B: Backend + ?Sized>(backend: &B, x: &Buffer, block: usize, centre: bool) -> Buffer {
    if !centre {
        return x.clone();
    }
    let rows = x.len() / block;
    let sums = backend.reduce(Reduce::Sum, x, rows, block, 1);
    let means = backend.unary(Unary::Scale(1.0 / block as f64), &sums);
    let (full, thin) = (Shape::from([rows, block]), Shape::from([rows, 1]));
    backend.binary(Binary::Sub, (x, &full), (&means, &thin), &full)
}

/// [`Backend::window_products`] of unfolded inputs.
pub(crate) fn unfolded_products<B: Backend + ?Sized>(
    backend: &B,
    x: &Buffer,
    y: &Buffer,
    [m, n]: [usize; 2],
    [groups, c]: [usize; 2],
    window: &Window,
) -> Buffer {
    let (t, i) = (window.output_len(), c * window.kernel_len());
    let (rows, cols) = (m * t, t * n);
    // `[m, G, t, i]` and `[G, i, t, n]`.
    let z = backend.unfold_windows(x, m * groups, c, window);
    let other = backend.unfold(y, n * groups * c, window);
    let (shape, strides) = (Shape::from([groups, i, t, n]), [i * t, t, 1, groups * i * t]);
    let other = backend.copy_strided(&other, &shape, &strides);
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
