//! Shapes: up to twelve axis lengths, held inline.

use std::fmt;
use std::ops::Deref;

use crate::Error;

/// The number of entries of an array with these axis lengths; `None` if it is no `usize`.
pub(crate) fn checked_size(axes: &[usize]) -> Option<usize> {
    // Nothing is nothing, however long the other axes are.
    if axes.contains(&0) {
        return Some(0);
    }
    axes.iter().try_fold(1usize, |size, &len| size.checked_mul(len))
}

/// The largest position of a strided array, from the axes' lengths, of one at least, and distances;
/// `None` if it is no `usize`.
pub(crate) fn last_position(
    offset: usize,
    axes: impl IntoIterator<Item = (usize, usize)>,
) -> Option<usize> {
    axes.into_iter().try_fold(offset, |at, (len, distance)| {
        at.checked_add(len.checked_sub(1)?.checked_mul(distance)?)
    })
}

/// The axis lengths of an array, outermost first; row-major.
///
/// Reads like a slice of `usize`. Copies without allocating.
///
/// ```
/// use vivit_tensor::Shape;
///
/// let shape = Shape::from([2, 3, 4]);
/// assert_eq!((shape.rank(), shape.size(), shape[1]), (3, 24, 3));
/// assert_eq!(shape.tail().prefixed(&[5, 1]), [5, 1, 3, 4]);
/// assert_eq!(shape.broadcast(&Shape::from([3, 1])), Some(shape));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    axes: [usize; Shape::MAX_RANK],
}

impl Shape {
    /// The largest number of axes.
    pub const MAX_RANK: usize = 12;

    /// The shape with the given axis lengths.
    ///
    /// # Panics
    /// With more than [`Shape::MAX_RANK`] axes, or more entries than `isize::MAX`.
    #[track_caller]
    pub fn new(axes: &[usize]) -> Self {
        match Self::checked(axes) {
            Ok(shape) => shape,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`new`](Shape::new), but an error instead of a panic.
    ///
    /// # Errors
    /// With more than [`Shape::MAX_RANK`] axes, or more entries than `isize::MAX`.
    pub fn checked(axes: &[usize]) -> Result<Self, Error> {
        if axes.len() > Self::MAX_RANK {
            return Err(Error::Rank { rank: axes.len(), most: Self::MAX_RANK });
        }
        // Zeros aside, so that strides do not overflow either.
        let mut size = 1isize;
        for &len in axes.iter().filter(|&&len| len > 0) {
            let next = isize::try_from(len).ok().and_then(|len| size.checked_mul(len));
            size = next.ok_or_else(|| Error::Size { axes: axes.to_vec() })?;
        }
        let mut shape = Shape { rank: axes.len() as u8, axes: [0; Self::MAX_RANK] };
        shape.axes[..axes.len()].copy_from_slice(axes);
        Ok(shape)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of entries of an array of this shape, the product of all axis lengths. (`len()` is
    /// the slice's: the number of axes.)
    pub fn size(&self) -> usize {
        self.iter().product()
    }

    /// `axes` followed by these axes.
    #[track_caller]
    pub fn prefixed(&self, axes: &[usize]) -> Shape {
        Shape::new(&[axes, self].concat())
    }

    /// These axes without the first.
    ///
    /// # Panics
    /// If there is no axis.
    #[track_caller]
    pub fn tail(&self) -> Shape {
        Shape::new(&self[1..])
    }

    /// Row-major strides.
    pub fn strides(&self) -> [usize; Shape::MAX_RANK] {
        let mut strides = [0; Self::MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self[axis];
        }
        strides
    }

    /// The shape that two shapes broadcast to (trailing axes aligned, length 1 repeats), if there
    /// is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let mut shape = Shape { rank: rank as u8, axes: [0; Self::MAX_RANK] };
        for back in 1..=rank {
            let a = if back <= self.rank() { self[self.rank() - back] } else { 1 };
            let b = if back <= other.rank() { other[other.rank() - back] } else { 1 };
            shape.axes[rank - back] = match (a, b) {
                _ if a == b => a,
                (1, _) => b,
                (_, 1) => a,
                _ => return None,
            };
        }
        // A product of both may overflow where neither does.
        Shape::checked(&shape).ok()
    }

    /// Strides with which an array of this shape is read as one of the broadcast shape `to`.
    pub fn broadcast_strides(&self, to: &Shape) -> [usize; Shape::MAX_RANK] {
        let own = self.strides();
        let shift = to.rank() - self.rank();
        let mut strides = [0; Self::MAX_RANK];
        for axis in shift..to.rank() {
            if self[axis - shift] != 1 {
                strides[axis] = own[axis - shift];
            }
        }
        strides
    }

    /// The axes of a traversal of an array of this shape, with the strides of `N` operands:
    /// `(length, strides)` per axis, outermost first. Axes of length 1 are left out and neighbours
    /// merged where every operand allows it; there is always one axis at least.
    ///
    /// ```
    /// use vivit_tensor::Shape;
    ///
    /// let shape = Shape::from([2, 3, 4]);
    /// assert_eq!(shape.merged_axes([&[12, 4, 1]]), [(24, [1])]);
    /// // The second operand repeats along the first axis.
    /// assert_eq!(shape.merged_axes([&[12, 4, 1], &[0, 4, 1]]), [(2, [12, 0]), (12, [1, 1])]);
    /// assert_eq!(Shape::from([1, 1]).merged_axes([&[7, 7]]), [(1, [0])]);
    /// ```
    ///
    /// # Panics
    /// If an operand has fewer strides than there are axes.
    pub fn merged_axes<const N: usize>(&self, strides: [&[usize]; N]) -> Vec<(usize, [usize; N])> {
        let mut axes: Vec<(usize, [usize; N])> = Vec::with_capacity(self.rank());
        for axis in (0..self.rank()).filter(|&axis| self[axis] != 1) {
            let (len, step) = (self[axis], strides.map(|strides| strides[axis]));
            match axes.last_mut() {
                Some((outer, wide)) if (0..N).all(|i| wide[i] == step[i] * len) => {
                    (*outer, *wide) = (*outer * len, step)
                }
                _ => axes.push((len, step)),
            }
        }
        if axes.is_empty() {
            axes.push((1, [0; N]));
        }
        axes
    }

    /// The index along every axis of the entry at a position of the flat, row-major array.
    ///
    /// ```
    /// use vivit_tensor::Shape;
    ///
    /// assert_eq!(Shape::from([2, 3, 4]).index_of(17), [1, 1, 1]);
    /// ```
    ///
    /// # Panics
    /// If the array has no such entry.
    #[track_caller]
    pub fn index_of(&self, position: usize) -> Vec<usize> {
        assert!(position < self.size(), "position {position} of an array of shape {self}");
        let strides = self.strides();
        (0..self.rank()).map(|axis| position / strides[axis] % self[axis]).collect()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.axes[..self.rank()]
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(axes: &[usize]) -> Self {
        Shape::new(axes)
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    #[track_caller]
    fn from(axes: [usize; R]) -> Self {
        Shape::new(&axes)
    }
}

impl From<&Vec<usize>> for Shape {
    #[track_caller]
    fn from(axes: &Vec<usize>) -> Self {
        Shape::new(axes)
    }
}

impl From<Vec<usize>> for Shape {
    #[track_caller]
    fn from(axes: Vec<usize>) -> Self {
        Shape::new(&axes)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl FromIterator<usize> for Shape {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = usize>>(axes: I) -> Self {
        Shape::new(&axes.into_iter().collect::<Vec<_>>())
    }
}

impl AsRef<[usize]> for Shape {
    fn as_ref(&self) -> &[usize] {
        self
    }
}

impl<const R: usize> PartialEq<[usize; R]> for Shape {
    fn eq(&self, axes: &[usize; R]) -> bool {
        **self == *axes
    }
}

impl<const R: usize> PartialEq<[usize; R]> for &Shape {
    fn eq(&self, axes: &[usize; R]) -> bool {
        ***self == *axes
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, axes: &[usize]) -> bool {
        **self == *axes
    }
}

impl PartialEq<&[usize]> for Shape {
    fn eq(&self, axes: &&[usize]) -> bool {
        **self == **axes
    }
}

impl PartialEq<Vec<usize>> for Shape {
    fn eq(&self, axes: &Vec<usize>) -> bool {
        **self == **axes
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
