//! The backend: every primitive by its launcher.

use std::sync::Arc;

use std::ops::Range;

use vivit_tensor::{
    Backend, Binary, ConvDims, ConvWeights, Error, Gemm, Reduce, Scalar, Search, Shape, Unary,
    Window,
};

use crate::buffer::Buf;
use crate::device::OpenCl;
use crate::{array, elementwise, product, reduce, window};

impl<E: Scalar> Backend for OpenCl<E> {
    type Elem = E;
    type Buf = Buf<E>;
    type Index = Buf<u32>;

    fn device(&self) -> String {
        format!("OpenCL ({}, {})", self.session.info.name, E::NAME)
    }

    fn check(&self) -> Result<(), Error> {
        self.session.settle()
    }

    fn can_read(&self, buf: &Buf<E>) -> bool {
        buf.block.as_ref().is_ok_and(|block| block.is_of(&self.session))
    }

    fn same(&self, a: &Buf<E>, b: &Buf<E>) -> bool {
        let shared = matches!((&a.block, &b.block), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b));
        shared && (a.start, a.len) == (b.start, b.len)
    }

    fn len(&self, buf: &Buf<E>) -> usize {
        buf.len
    }

    fn upload(&self, data: Vec<E>) -> Buf<E> {
        self.session.upload(data)
    }

    fn upload_index(&self, data: Vec<u32>) -> Buf<u32> {
        self.session.upload(data)
    }

    fn download(&self, buf: &Buf<E>) -> Result<Vec<E>, Error> {
        self.session.download(buf)
    }

    fn fill(&self, len: usize, value: E) -> Buf<E> {
        array::fill(self, len, value)
    }

    fn slice(&self, x: &Buf<E>, range: Range<usize>) -> Buf<E> {
        assert!(
            range.start <= range.end && range.end <= x.len,
            "slice {range:?} of {} elements",
            x.len
        );
        x.slice(range.start, range.len())
    }

    fn copy_strided(&self, x: &Buf<E>, shape: &Shape, strides: &[usize]) -> Buf<E> {
        array::copy_strided(self, x, 0, shape, strides)
    }

    fn select(
        &self,
        x: &Buf<E>,
        outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> Buf<E> {
        array::select(self, x, outer, axis, inner, pick)
    }

    fn pad(&self, x: &Buf<E>, shape: &Shape, pads: &[(isize, isize)]) -> Buf<E> {
        array::pad(self, x, shape, pads)
    }

    fn unary(&self, f: Unary, x: &Buf<E>) -> Buf<E> {
        elementwise::unary(self, f, x)
    }

    fn unary_chain(&self, f: Unary, x: &Buf<E>, y: &Buf<E>, mat: &Buf<E>) -> Buf<E> {
        elementwise::unary_chain(self, f, x, y, mat)
    }

    fn unary_second(&self, f: Unary, x: &Buf<E>, y: &Buf<E>) -> Buf<E> {
        elementwise::unary_second(self, f, x, y)
    }

    fn binary(&self, f: Binary, a: (&Buf<E>, &Shape), b: (&Buf<E>, &Shape), out: &Shape) -> Buf<E> {
        elementwise::binary(self, f, a, b, out)
    }

    fn axpy(&self, alpha: f64, x: &Buf<E>, y: &mut Buf<E>) {
        elementwise::axpy(self, alpha, x, y);
    }

    fn reduce(&self, f: Reduce, x: &Buf<E>, outer: usize, axis: usize, inner: usize) -> Buf<E> {
        reduce::reduce(self, f, x, outer, axis, inner)
    }

    fn gemm(&self, g: &Gemm, a: &Buf<E>, b: &Buf<E>, c: &mut Buf<E>) {
        product::product(self, g, a, b, c, false);
    }

    fn syrk(&self, r: usize, d: usize, a: &Buf<E>, c: &mut Buf<E>) {
        product::product(self, &Gemm::nt(r, r, d).accumulating(), a, a, c, true);
    }

    fn add_tiled_product(
        &self,
        acc: &mut Buf<E>,
        x: &Buf<E>,
        xs: (usize, usize),
        y: &Buf<E>,
        ys: (usize, usize),
    ) {
        elementwise::add_tiled_product(self, acc, x, xs, y, ys);
    }

    fn unfold(&self, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
        window::unfold(self, x, planes, w)
    }

    fn fold(&self, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
        window::fold(self, x, planes, w)
    }

    fn argmax(&self, x: &Buf<E>, planes: usize, w: &Window) -> Buf<u32> {
        window::argmax(self, x, planes, w)
    }

    fn take(&self, x: &Buf<E>, index: &Buf<u32>, planes: usize, w: &Window) -> Buf<E> {
        window::take(self, x, index, planes, w)
    }

    fn put(&self, x: &Buf<E>, index: &Buf<u32>, planes: usize, w: &Window) -> Buf<E> {
        window::put(self, x, index, planes, w)
    }

    fn window_sum(&self, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
        window::window_sum(self, x, planes, w)
    }

    fn window_spread(&self, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
        window::window_spread(self, x, planes, w)
    }

    fn conv(&self, x: &Buf<E>, w: &Buf<E>, n: usize, dims: ConvDims, window: &Window) -> Buf<E> {
        window::conv(self, x, w, n, dims, window)
    }

    fn conv_transposed(
        &self,
        y: &Buf<E>,
        w: &Buf<E>,
        [columns, n]: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> Buf<E> {
        window::conv_transposed(self, y, w, columns * n, dims, window)
    }

    fn conv_weights(&self, p: &ConvWeights, s: &Buf<E>, x: &Buf<E>) -> Buf<E> {
        window::conv_weights(self, p, s, x)
    }

    fn lookup(&self, table: &Buf<E>, ids: &Buf<E>, shape: (usize, usize)) -> Buf<E> {
        array::lookup(self, table, ids, shape)
    }

    fn row_or_nan(&self, ids: &Buf<E>, rows: usize) -> Result<Buf<E>, Error> {
        Ok(array::row_or_nan(self, ids, rows))
    }

    fn eye(&self, n: usize) -> Buf<E> {
        array::eye(self, n)
    }

    fn one_hot(&self, ids: &Buf<E>, classes: usize) -> Buf<E> {
        array::one_hot(self, ids, classes)
    }

    fn softmax(&self, x: &Buf<E>, outer: usize, axis: usize, inner: usize) -> Buf<E> {
        reduce::softmax(self, x, outer, axis, inner)
    }

    fn draw_one_hot(
        &self,
        p: &Buf<E>,
        u: &[f64],
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> Result<Buf<E>, Error> {
        Ok(reduce::draw_one_hot(self, p, u, outer, axis, inner))
    }

    fn first_non_finite(&self, x: &Buf<E>) -> Result<Option<usize>, Error> {
        Ok(reduce::answer(self, &reduce::search_non_finite(self, &[x]))?.map(|(_, at)| at))
    }

    fn search_non_finite(&self, arrays: &[&Buf<E>]) -> Result<Search<Buf<u32>>, Error> {
        Ok(Search::Pending(reduce::search_non_finite(self, arrays)))
    }

    fn answer(&self, search: &Search<Buf<u32>>) -> Result<Option<(usize, usize)>, Error> {
        match search {
            Search::Done(found) => Ok(*found),
            Search::Pending(found) => reduce::answer(self, found),
        }
    }

    fn mark(&self, search: &Search<Buf<u32>>, x: &mut Buf<E>) {
        match search {
            Search::Done(None) => {}
            Search::Done(Some(_)) => *x = array::fill(self, x.len, E::of(f64::NAN)),
            Search::Pending(found) => reduce::mark(self, found, x),
        }
    }
}
