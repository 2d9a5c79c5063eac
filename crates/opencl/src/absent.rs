//! Without the feature `device`: the same items, and an error for every request for a device.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Range;

use vivit_tensor::{
    Backend, Binary, Error as TensorError, Gemm, Reduce, Scalar, Shape, Unary, Window,
};

use crate::{DeviceInfo, Error, Kernels, Selector, Transfers};

/// A device and an element type: `OpenCl<f32>`, `OpenCl<f64>`. This build can't open any.
#[derive(Clone, Debug)]
pub struct OpenCl<E> {
    never: Infallible,
    elem: PhantomData<fn() -> E>,
}

/// The devices of all platforms.
///
/// # Errors
/// Always: this build has no OpenCL in it.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    Err(absent())
}

fn absent() -> Error {
    Error::NoLibrary { reason: "this program was built without the feature `opencl`".into() }
}

impl<E: Scalar> OpenCl<E> {
    /// Opens a device.
    ///
    /// # Errors
    /// Always: this build has no OpenCL in it.
    pub fn new(selector: impl Into<Selector>) -> Result<Self, Error> {
        let _ = selector;
        Err(absent())
    }

    /// The same device with other kernels.
    #[must_use]
    pub fn with_kernels(self, _kernels: Kernels) -> Self {
        self
    }

    /// What is known about the device.
    pub fn info(&self) -> &DeviceInfo {
        match self.never {}
    }

    /// What has moved between host and device since it was opened.
    pub fn transfers(&self) -> Transfers {
        match self.never {}
    }

    /// Waits until the device has done everything that it was asked.
    ///
    /// # Errors
    /// The first failure.
    pub fn finish(&self) -> Result<(), TensorError> {
        match self.never {}
    }
}

macro_rules! never {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)+) => {
        $(fn $name(&self, $($arg: $ty),*) $(-> $out)? {
            $(let _ = $arg;)*
            match self.never {}
        })+
    };
}

/// A buffer that can't be.
type Buf = Infallible;

impl<E: Scalar> Backend for OpenCl<E> {
    type Elem = E;
    type Buf = Infallible;
    type Index = Infallible;

    never! {
        fn device() -> String;
        fn len(buf: &Buf) -> usize;
        fn upload(data: Vec<E>) -> Buf;
        fn upload_index(data: Vec<u32>) -> Buf;
        fn download(buf: &Buf) -> Result<Vec<E>, TensorError>;
        fn fill(len: usize, value: E) -> Buf;
        fn slice(x: &Buf, range: Range<usize>) -> Buf;
        fn copy_strided(x: &Buf, shape: &Shape, strides: &[usize]) -> Buf;
        fn select(x: &Buf, outer: usize, axis: usize, inner: usize, pick: &[usize]) -> Buf;
        fn pad(x: &Buf, shape: &Shape, pads: &[(isize, isize)]) -> Buf;
        fn unary(f: Unary, x: &Buf) -> Buf;
        fn unary_chain(f: Unary, x: &Buf, y: &Buf, mat: &Buf) -> Buf;
        fn unary_second(f: Unary, x: &Buf, y: &Buf) -> Buf;
        fn binary(f: Binary, a: (&Buf, &Shape), b: (&Buf, &Shape), out: &Shape) -> Buf;
        fn axpy(alpha: f64, x: &Buf, y: &mut Buf);
        fn reduce(f: Reduce, x: &Buf, outer: usize, axis: usize, inner: usize) -> Buf;
        fn gemm(g: &Gemm, a: &Buf, b: &Buf, c: &mut Buf);
        fn unfold(x: &Buf, planes: usize, window: &Window) -> Buf;
        fn fold(x: &Buf, planes: usize, window: &Window) -> Buf;
        fn argmax(x: &Buf, planes: usize, window: &Window) -> Buf;
        fn take(x: &Buf, index: &Buf, planes: usize, window: &Window) -> Buf;
        fn put(x: &Buf, index: &Buf, planes: usize, window: &Window) -> Buf;
    }
}
