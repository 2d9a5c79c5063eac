//! Arrays on a device.

mod normalized;

use std::fmt;

use crate::{
    Binary, Buffer, DType, Device, Error, Gemm, HostVec, Matrix, Reduce, Scalar, Shape, Unary,
};

/// A dense row-major array on a [`Device`]. Cloning, reshaping and slicing along the first axis
/// share memory.
#[derive(Clone)]
pub struct Tensor {
    device: Device,
    shape: Shape,
    buf: Buffer,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor<{}>{}", self.dtype(), self.shape)
    }
}

impl Tensor {
    /// Wraps a buffer that a primitive of the device returned.
    ///
    /// # Panics
    /// If the buffer's length is not the shape's.
    #[track_caller]
    pub fn from_buf(device: &Device, shape: impl Into<Shape>, buf: Buffer) -> Self {
        let shape = shape.into();
        assert_eq!(buf.len(), shape.size(), "a buffer for shape {shape}");
        Tensor { device: device.clone(), shape, buf }
    }

    /// Moves host data, row-major, to the device, rounded to its precision.
    ///
    /// ```
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let x = Tensor::from_vec(&Device::cpu(), [2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!(x.sum(0).to_vec()?, [5.0, 7.0, 9.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the number of values is not the shape's, or the shape has more than [`Shape::MAX_RANK`]
    /// axes or more entries than a machine can count.
    pub fn from_vec(
        device: &Device,
        shape: impl AsRef<[usize]>,
        data: impl Into<HostVec>,
    ) -> Result<Self, Error> {
        let (shape, data) = (Shape::checked(shape.as_ref())?, data.into());
        if data.len() != shape.size() {
            return Err(Error::DataLength { shape: shape.to_vec(), got: data.len() });
        }
        Ok(Tensor { device: device.clone(), shape, buf: device.upload(data) })
    }

    /// An array that holds `value` everywhere.
    #[track_caller]
    pub fn full(device: &Device, shape: impl Into<Shape>, value: f64) -> Self {
        let shape = shape.into();
        let buf = device.fill(shape.size(), value);
        Tensor { device: device.clone(), shape, buf }
    }

    /// An array of zeros.
    #[track_caller]
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Self {
        Self::full(device, shape, 0.0)
    }

    /// The identity matrix `[n, n]`.
    pub fn eye(device: &Device, n: usize) -> Self {
        Tensor { device: device.clone(), shape: Shape::from([n, n]), buf: device.eye(n) }
    }

    /// The device, with this array's precision.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The precision.
    pub fn dtype(&self) -> DType {
        self.device.dtype()
    }

    /// The array on another device or in another precision; shared if it is there already.
    ///
    /// # Errors
    /// If a device failed, now or before.
    pub fn to(&self, device: &Device) -> Result<Self, Error> {
        if *device == self.device {
            return Ok(self.clone());
        }
        Ok(Tensor {
            device: device.clone(),
            shape: self.shape,
            buf: device.upload(self.to_host()?),
        })
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The flat buffer.
    pub fn buf(&self) -> &Buffer {
        &self.buf
    }

    /// The flat buffer, to be accumulated into.
    pub fn buf_mut(&mut self) -> &mut Buffer {
        &mut self.buf
    }

    /// Number of entries.
    #[allow(clippy::len_without_is_empty)] // an array is a block of numbers, not a collection
    pub fn len(&self) -> usize {
        self.shape.size()
    }

    /// All entries, row-major, on the host, as doubles.
    ///
    /// # Errors
    /// If the device failed, now or before.
    pub fn to_vec(&self) -> Result<Vec<f64>, Error> {
        Ok(self.to_host()?.into_vec())
    }

    /// All entries, row-major, on the host, rounded to single precision.
    ///
    /// # Errors
    /// If the device failed, now or before.
    pub fn to_vec_f32(&self) -> Result<Vec<f32>, Error> {
        Ok(self.to_host()?.into_vec())
    }

    /// All entries, row-major, on the host, in the array's precision.
    ///
    /// # Errors
    /// If the device failed, now or before.
    pub fn to_host(&self) -> Result<HostVec, Error> {
        self.device.download(&self.buf)
    }

    /// The array as a host matrix: the first axis indexes rows, all others together columns.
    ///
    /// # Errors
    /// If the device failed, now or before.
    ///
    /// # Panics
    /// If there is no axis.
    #[track_caller]
    pub fn to_matrix<E: Scalar>(&self) -> Result<Matrix<E>, Error> {
        Ok(Matrix::new(self.shape[0], self.shape.tail().size(), self.to_host()?.into_vec()))
    }

    /// The same entries in another shape; free.
    ///
    /// # Panics
    /// If the number of entries differs.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.size(), self.shape.size(), "can't reshape {} to {shape}", self.shape);
        Tensor { device: self.device.clone(), shape, buf: self.buf.clone() }
    }

    /// Entries `first..end` of the first axis; free on the CPU.
    ///
    /// # Panics
    /// If the range does not fit.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, first: usize, end: usize) -> Self {
        assert!(
            first <= end && end <= self.shape[0],
            "slice {first}..{end} of the first axis of {}",
            self.shape
        );
        if first == 0 && end == self.shape[0] {
            return self.clone();
        }
        let inner = self.shape.tail();
        let buf = self.buf.slice(first * inner.size()..end * inner.size());
        Tensor { device: self.device.clone(), shape: inner.prefixed(&[end - first]), buf }
    }

    /// The entries `pick` of axis `axis`, in that order.
    ///
    /// ```
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let x = Tensor::from_vec(&Device::cpu(), [3, 1], vec![1.0, 2.0, 3.0])?;
    /// assert_eq!(x.select(0, &[2, 0])?.to_vec()?, [3.0, 1.0]);
    /// assert!(x.select(0, &[3]).is_err());
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such axis or entry.
    pub fn select(&self, axis: usize, pick: &[usize]) -> Result<Self, Error> {
        let shape = || self.shape.to_vec();
        let Some(&len) = self.shape.get(axis) else {
            return Err(Error::NoAxis { shape: shape(), axis });
        };
        match pick.iter().find(|&&at| at >= len) {
            Some(&index) => Err(Error::IndexOutOfRange { shape: shape(), axis, index }),
            None => Ok(self.index_select(axis, pick)),
        }
    }

    /// As [`select`](Tensor::select), for indices that are known to fit.
    ///
    /// # Panics
    /// If an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn index_select(&self, axis: usize, pick: &[usize]) -> Self {
        let (outer, len) = (self.shape[..axis].iter().product(), self.shape[axis]);
        assert!(
            pick.iter().all(|&at| at < len),
            "select {pick:?} of axis {axis} of {}",
            self.shape
        );
        let inner = self.shape[axis + 1..].iter().product();
        let mut shape = self.shape.to_vec();
        shape[axis] = pick.len();
        Tensor {
            device: self.device.clone(),
            shape: Shape::new(&shape),
            buf: self.device.index_select(&self.buf, outer, len, inner, pick),
        }
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this array.
    ///
    /// # Panics
    /// If `order` is no permutation of the axes.
    #[track_caller]
    #[must_use]
    pub fn permute(&self, order: &[usize]) -> Self {
        let mut seen = order.to_vec();
        seen.sort_unstable();
        assert!(
            seen.iter().copied().eq(0..self.shape.rank()),
            "{order:?} is no permutation of the axes of {}",
            self.shape
        );
        let strides = self.shape.strides();
        let shape = Shape::new(&order.iter().map(|&axis| self.shape[axis]).collect::<Vec<_>>());
        let strides: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let buf = self.device.copy_strided(&self.buf, &shape, &strides);
        Tensor { device: self.device.clone(), shape, buf }
    }

    /// Repeats axes of length one (and new leading axes) up to `shape`.
    ///
    /// # Panics
    /// If the array does not broadcast to `shape`.
    #[track_caller]
    #[must_use]
    pub fn broadcast(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        if shape == self.shape {
            return self.clone();
        }
        assert_eq!(
            self.shape.broadcast(&shape),
            Some(shape),
            "can't broadcast {} to {shape}",
            self.shape
        );
        let strides = self.shape.broadcast_strides(&shape);
        let buf = self.device.copy_strided(&self.buf, &shape, &strides[..shape.rank()]);
        Tensor { device: self.device.clone(), shape, buf }
    }

    /// Surrounds the array with zeros, `pads[i] = (before, after)` along axis `i`; negative numbers
    /// crop.
    ///
    /// # Panics
    /// If there is not one pair per axis, or an axis is cropped below nothing.
    #[track_caller]
    #[must_use]
    pub fn pad(&self, pads: &[(isize, isize)]) -> Self {
        assert_eq!(pads.len(), self.shape.rank(), "one pair per axis of {}", self.shape);
        let shape: Vec<usize> = self
            .shape
            .iter()
            .zip(pads)
            .map(|(&len, &(before, after))| {
                usize::try_from(len as isize + before + after)
                    .unwrap_or_else(|_| panic!("can't crop {} by {pads:?}", self.shape))
            })
            .collect();
        let buf = self.device.pad(&self.buf, &self.shape, pads);
        Tensor { device: self.device.clone(), shape: Shape::new(&shape), buf }
    }

    /// The arrays one after the other along axis `axis`.
    ///
    /// # Panics
    /// If there is none, or they differ in another axis.
    #[track_caller]
    #[must_use]
    pub fn concat(parts: &[Self], axis: usize) -> Self {
        let (first, rest) = parts.split_first().expect("at least one array");
        if rest.is_empty() {
            return first.clone();
        }
        let mut shape = first.shape.to_vec();
        for part in rest {
            first.device.assert_same(&part.device, "concat");
            let fits = part.shape.rank() == shape.len()
                && (0..shape.len()).all(|i| i == axis || part.shape[i] == first.shape[i]);
            assert!(fits, "can't join {} and {} along axis {axis}", first.shape, part.shape);
            shape[axis] += part.shape[axis];
        }
        let outer = shape[..axis].iter().product();
        let parts: Vec<&Buffer> = parts.iter().map(|part| &part.buf).collect();
        Tensor {
            device: first.device.clone(),
            shape: Shape::new(&shape),
            buf: first.device.concat(&parts, outer),
        }
    }

    /// Applies `f` to every entry.
    #[must_use]
    pub fn unary(&self, f: Unary) -> Self {
        self.with_buf(self.device.unary(f, &self.buf))
    }

    /// `alpha` times the array.
    #[must_use]
    pub fn scale(&self, alpha: f64) -> Self {
        if alpha == 1.0 { self.clone() } else { self.unary(Unary::Scale(alpha)) }
    }

    /// `self[v, …] · f′(x)` with `y = f(x)`: the leading axes that `x` lacks repeat it.
    ///
    /// # Panics
    /// If the trailing axes are not those of `x`.
    #[track_caller]
    #[must_use]
    pub fn unary_chain(&self, f: Unary, x: &Self, y: &Self) -> Self {
        assert!(
            self.shape.ends_with(&x.shape),
            "{f:?} of {} can't pull back {}",
            x.shape,
            self.shape
        );
        self.device.assert_same(&x.device, "derivative of a map");
        self.device.assert_same(&y.device, "derivative of a map");
        self.with_buf(self.device.unary_chain(f, &x.buf, &y.buf, &self.buf))
    }

    /// `f″(self)`, where `y = f(self)` is known.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    #[must_use]
    pub fn unary_second(&self, f: Unary, y: &Self) -> Self {
        assert!(self.shape == y.shape, "{f:?} of {} can't be {}", self.shape, y.shape);
        self.device.assert_same(&y.device, "second derivative of a map");
        self.with_buf(self.device.unary_second(f, &self.buf, &y.buf))
    }

    /// `f(self, other)`, broadcasting (trailing axes aligned, length 1 repeats).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn binary(&self, f: Binary, other: &Self) -> Self {
        if self.device != other.device {
            panic!(
                "{f:?} of arrays on {} and on {}: convert one with `Tensor::to`",
                self.device, other.device
            );
        }
        let shape = self.shape.broadcast(&other.shape).unwrap_or_else(|| {
            panic!("{f:?} of {} and {}: the shapes do not broadcast", self.shape, other.shape)
        });
        let buf =
            self.device.binary(f, (&self.buf, &self.shape), (&other.buf, &other.shape), &shape);
        Tensor { device: self.device.clone(), shape, buf }
    }

    /// `self + other`, broadcasting.
    #[track_caller]
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        self.binary(Binary::Add, other)
    }

    /// `self − other`, broadcasting.
    #[track_caller]
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        self.binary(Binary::Sub, other)
    }

    /// `self · other`, entry by entry, broadcasting.
    #[track_caller]
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        self.binary(Binary::Mul, other)
    }

    /// `on_true` where this array is not zero, `on_false` elsewhere, all three broadcasting.
    /// Infinities and NaN of the one that is not chosen do not matter.
    ///
    /// ```
    /// use vivit_tensor::{Device, Tensor, Unary};
    ///
    /// let x = Tensor::from_vec(&Device::cpu(), [3], vec![0.0, 1.0, 4.0])?;
    /// let zero = Tensor::zeros(x.device(), []);
    /// assert_eq!(x.where_cond(&x.unary(Unary::Recip), &zero).to_vec()?, [0.0, 1.0, 0.25]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn where_cond(&self, on_true: &Self, on_false: &Self) -> Self {
        let shapes = [&self.shape, &on_true.shape, &on_false.shape];
        let both = shapes[1].broadcast(shapes[2]);
        let Some(shape) = both.and_then(|both| shapes[0].broadcast(&both)) else {
            let [mask, a, b] = shapes;
            panic!("choice by {mask} between {a} and {b}: the shapes do not broadcast")
        };
        self.device.assert_same(&on_true.device, "choice");
        self.device.assert_same(&on_false.device, "choice");
        let [mask, a, b] = [self, on_true, on_false].map(|x| (&x.buf, &x.shape));
        let buf = self.device.select(mask, a, b, &shape);
        Tensor { device: self.device.clone(), shape, buf }
    }

    /// `self += alpha · other`, in place where the memory is not shared.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn axpy(&mut self, alpha: f64, other: &Self) {
        assert_eq!(self.shape, other.shape, "axpy of different shapes");
        self.device.assert_same(&other.device, "axpy");
        self.device.axpy(alpha, &other.buf, &mut self.buf);
    }

    /// Adds `part` to the entries of axis `axis` from `first` on, in place where the memory is not
    /// shared: in the time that the part takes.
    ///
    /// ```
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut x = Tensor::zeros(&cpu, [2, 3]);
    /// x.add_part(1, 1, &Tensor::full(&cpu, [2, 2], 1.0));
    /// assert_eq!(x.to_vec()?, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the part does not fit.
    #[track_caller]
    pub fn add_part(&mut self, axis: usize, first: usize, part: &Self) {
        let (whole, own) = (&self.shape, &part.shape);
        let fits = own.rank() == whole.rank()
            && (0..whole.rank()).all(|at| at == axis || own[at] == whole[at])
            && axis < whole.rank()
            && first + own[axis] <= whole[axis];
        assert!(fits, "{own} does not fit into {whole} from entry {first} of axis {axis} on");
        self.device.assert_same(&part.device, "sum");
        let outer = whole[..axis].iter().product();
        let inner: usize = whole[axis + 1..].iter().product();
        self.device.add_part(&part.buf, &mut self.buf, outer, first * inner);
    }

    /// Reduces axis `axis` away.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    #[must_use]
    pub fn reduce(&self, f: Reduce, axis: usize) -> Self {
        let (outer, inner) =
            (self.shape[..axis].iter().product(), self.shape[axis + 1..].iter().product());
        let shape = Shape::new(&[&self.shape[..axis], &self.shape[axis + 1..]].concat());
        let buf = self.device.reduce(f, &self.buf, outer, self.shape[axis], inner);
        Tensor { device: self.device.clone(), shape, buf }
    }

    /// Sums axis `axis` away.
    #[track_caller]
    #[must_use]
    pub fn sum(&self, axis: usize) -> Self {
        self.reduce(Reduce::Sum, axis)
    }

    /// Position of the largest entry along axis `axis`, the first one of several; a NaN wins.
    /// Row-major over the other axes, on the host.
    ///
    /// # Errors
    /// If there is no such axis, or the device failed, now or before.
    pub fn argmax(&self, axis: usize) -> Result<Vec<usize>, Error> {
        let Some(&len) = self.shape.get(axis) else {
            return Err(Error::NoAxis { shape: self.shape.to_vec(), axis });
        };
        let inner: usize = self.shape[axis + 1..].iter().product();
        let entries = self.to_host()?;
        let outer = entries.len() / (len * inner).max(1);
        let largest = |at: usize| {
            let entry = |i: usize| entries.at((at / inner * len + i) * inner + at % inner);
            let wins = |i: usize, best: usize| {
                entry(i) > entry(best) || (entry(i).is_nan() && !entry(best).is_nan())
            };
            (0..len).reduce(|best, i| if wins(i, best) { i } else { best }).unwrap_or(0)
        };
        Ok((0..outer * inner).map(largest).collect())
    }

    /// The product that `g` describes of this buffer and `other`'s, in a new array of the given
    /// shape.
    ///
    /// # Panics
    /// If the product does not fit the buffers.
    #[track_caller]
    #[must_use]
    pub fn gemm(&self, g: &Gemm, other: &Self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        // Entries that the product leaves out, or adds to, are zero.
        let covered = !g.accumulate && g.written() == shape.size();
        let buf = if covered {
            self.device.scratch(shape.size())
        } else {
            self.device.fill(shape.size(), 0.0)
        };
        self.device.assert_same(&other.device, "matrix product");
        let mut out = Tensor::from_buf(&self.device, shape, buf);
        self.device.gemm(g, &self.buf, &other.buf, &mut out.buf);
        out
    }

    /// Position (row-major) of the first NaN or infinity.
    ///
    /// # Errors
    /// If the device failed, now or before.
    pub fn first_non_finite(&self) -> Result<Option<usize>, Error> {
        self.device.first_non_finite(&self.buf)
    }

    fn with_buf(&self, buf: Buffer) -> Self {
        Tensor { device: self.device.clone(), shape: self.shape, buf }
    }
}
