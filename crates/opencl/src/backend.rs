//! The backend: every primitive by its launcher.

use std::sync::Arc;

use vivit_tensor::{
    AxisPicks, Backend, Binary, Buffer, ConvDims, ConvWeights, DType, Error, Gemm, HostVec, Index,
    NonFiniteSearch, PendingSearch, Reduce, Scalar, Shape, Unary, Window,
};

use crate::buffer::Buf;
use crate::device::OpenCl;
use crate::pool::Block;
use crate::{array, elementwise, picks, product, reduce, window};

impl<E: Scalar> OpenCl<E> {
    #[track_caller]
    fn all(&self, buffers: &[&Buffer]) -> Vec<Buf<E>> {
        buffers.iter().map(|buffer| self.read(buffer)).collect()
    }

    #[track_caller]
    fn indices<'i>(&self, index: &'i Index) -> &'i Buf<u32> {
        Buf::indices(index, &self.session.pool)
    }
}

impl<E: Scalar> Backend for OpenCl<E> {
    fn name(&self) -> String {
        format!("OpenCL ({}, {})", self.session.info.name, E::NAME)
    }

    fn dtype(&self) -> DType {
        E::DTYPE
    }

    fn with_dtype(&self, dtype: DType) -> Result<Arc<dyn Backend>, Error> {
        self.sibling(dtype)
    }

    fn upload(&self, data: HostVec) -> Buffer {
        self.session.upload(data.into_vec::<E>()).wrap()
    }

    fn upload_index(&self, data: Vec<u32>) -> Index {
        self.session.upload(data).wrap_index()
    }

    fn download(&self, buf: &Buffer) -> Result<HostVec, Error> {
        self.session.download(&self.read(buf)).map(E::into_host)
    }

    fn fill(&self, len: usize, value: f64) -> Buffer {
        array::fill(self, len, value).wrap()
    }

    fn copy_strided(&self, x: &Buffer, shape: &Shape, strides: &[usize]) -> Buffer {
        array::copy_strided(self, &self.read(x), 0, shape, strides).wrap()
    }

    fn index_select(
        &self,
        x: &Buffer,
        outer: usize,
        axis: usize,
        inner: usize,
        pick: &[usize],
    ) -> Buffer {
        array::index_select(self, &self.read(x), outer, axis, inner, pick).wrap()
    }

    fn pad(&self, x: &Buffer, shape: &Shape, pads: &[(isize, isize)]) -> Buffer {
        array::pad(self, &self.read(x), shape, pads).wrap()
    }

    fn unary(&self, f: Unary, x: &Buffer) -> Buffer {
        elementwise::unary(self, f, &self.read(x)).wrap()
    }

    fn unary_chain(&self, f: Unary, x: &Buffer, y: &Buffer, mat: &Buffer) -> Buffer {
        elementwise::unary_chain(self, f, &self.read(x), &self.read(y), &self.read(mat)).wrap()
    }

    fn unary_second(&self, f: Unary, x: &Buffer, y: &Buffer) -> Buffer {
        elementwise::unary_second(self, f, &self.read(x), &self.read(y)).wrap()
    }

    fn binary(&self, f: Binary, a: (&Buffer, &Shape), b: (&Buffer, &Shape), out: &Shape) -> Buffer {
        elementwise::binary(self, f, (&self.read(a.0), a.1), (&self.read(b.0), b.1), out).wrap()
    }

    fn select(
        &self,
        mask: (&Buffer, &Shape),
        a: (&Buffer, &Shape),
        b: (&Buffer, &Shape),
        out: &Shape,
    ) -> Buffer {
        let [m, x, y] = [mask.0, a.0, b.0].map(|buf| self.read(buf));
        elementwise::select(self, [(&m, mask.1), (&x, a.1), (&y, b.1)], out).wrap()
    }

    fn axpy(&self, alpha: f64, x: &Buffer, y: &mut Buffer) {
        let x = self.read(x);
        self.write(y, |y| elementwise::axpy(self, alpha, &x, y));
    }

    fn add_part(&self, x: &Buffer, y: &mut Buffer, outer: usize, first: usize) {
        let x = self.read(x);
        self.write(y, |y| elementwise::add_part(self, &x, y, outer, first));
    }

    fn reduce(&self, f: Reduce, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer {
        reduce::reduce(self, f, &self.read(x), outer, axis, inner).wrap()
    }

    fn gemm(&self, g: &Gemm, a: &Buffer, b: &Buffer, c: &mut Buffer) {
        let (a, b) = (self.read(a), self.read(b));
        self.write(c, |c| product::product(self, g, &a, &b, c, false));
    }

    fn unfold(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        window::unfold(self, &self.read(x), planes, w).wrap()
    }

    fn fold(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        window::fold(self, &self.read(x), planes, w).wrap()
    }

    fn argmax(&self, x: &Buffer, planes: usize, w: &Window) -> Index {
        window::argmax(self, &self.read(x), planes, w).wrap_index()
    }

    fn gather(&self, x: &Buffer, index: &Index, planes: usize, w: &Window) -> Buffer {
        window::gather(self, &self.read(x), self.indices(index), planes, w).wrap()
    }

    fn scatter_add(&self, x: &Buffer, index: &Index, planes: usize, w: &Window) -> Buffer {
        window::scatter_add(self, &self.read(x), self.indices(index), planes, w).wrap()
    }

    fn is_readable(&self, buf: &Buffer) -> bool {
        buf.memory::<Block<E>>().is_some_and(|block| block.is_of(&self.session.pool))
    }

    fn check(&self) -> Result<(), Error> {
        self.session.settle()
    }

    fn memory(&self) -> Option<usize> {
        let bytes = self.session.info.memory;
        (bytes > 0).then(|| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn scratch(&self, len: usize) -> Buffer {
        self.session.allocate::<E>(len).wrap()
    }

    fn syrk(&self, r: usize, d: usize, a: &Buffer, c: &mut Buffer) {
        let (g, a) = (Gemm::nt(r, r, d).accumulating(), self.read(a));
        self.write(c, |c| product::product(self, &g, &a, &a, c, true));
    }

    fn concat(&self, parts: &[&Buffer], outer: usize) -> Buffer {
        array::concat(self, &self.all(parts), outer).wrap()
    }

    fn window_sum(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        window::window_sum(self, &self.read(x), planes, w).wrap()
    }

    fn window_spread(&self, x: &Buffer, planes: usize, w: &Window) -> Buffer {
        window::window_spread(self, &self.read(x), planes, w).wrap()
    }

    fn conv(&self, x: &Buffer, w: &Buffer, n: usize, dims: ConvDims, window: &Window) -> Buffer {
        window::conv(self, &self.read(x), &self.read(w), n, dims, window).wrap()
    }

    fn conv_transposed(
        &self,
        y: &Buffer,
        w: &Buffer,
        [columns, n]: [usize; 2],
        dims: ConvDims,
        window: &Window,
    ) -> Buffer {
        let (y, w) = (self.read(y), self.read(w));
        window::conv_transposed(self, &y, &w, columns * n, dims, window).wrap()
    }

    fn row_or_nan(&self, ids: &Buffer, rows: usize, from_end: bool) -> Result<Buffer, Error> {
        Ok(array::row_or_nan(self, &self.read(ids), rows, from_end).wrap())
    }

    fn positions(&self, x: &Buffer, axes: &[usize]) -> Index {
        picks::positions(self, &self.read(x), axes).wrap_index()
    }

    fn gather_axis(&self, x: &Buffer, index: &Index, p: &AxisPicks) -> Buffer {
        picks::gather_axis(self, &self.read(x), self.indices(index), p).wrap()
    }

    fn scatter_axis(&self, y: &Buffer, index: &Index, p: &AxisPicks) -> Buffer {
        picks::scatter_axis(self, &self.read(y), self.indices(index), p).wrap()
    }

    fn first_equal(&self, index: &Index, len: usize) -> Index {
        picks::first_equal(self, self.indices(index), len).wrap_index()
    }

    fn cumsum(&self, x: &Buffer, shape: [usize; 3], exclusive: bool, reverse: bool) -> Buffer {
        picks::cumsum(self, &self.read(x), shape, exclusive, reverse).wrap()
    }

    fn eye(&self, n: usize) -> Buffer {
        array::eye(self, n).wrap()
    }

    fn one_hot(&self, ids: &Buffer, classes: usize) -> Buffer {
        array::one_hot(self, &self.read(ids), classes).wrap()
    }

    fn softmax(&self, x: &Buffer, outer: usize, axis: usize, inner: usize) -> Buffer {
        reduce::softmax(self, &self.read(x), outer, axis, inner).wrap()
    }

    fn draw_one_hot(
        &self,
        p: &Buffer,
        u: &[f64],
        outer: usize,
        axis: usize,
        inner: usize,
    ) -> Result<Buffer, Error> {
        Ok(reduce::draw_one_hot(self, &self.read(p), u, outer, axis, inner).wrap())
    }

    fn first_non_finite(&self, x: &Buffer) -> Result<Option<usize>, Error> {
        let search = reduce::Search::start(self, &[self.read(x)]);
        Ok(search.wait()?.map(|(_, at)| at))
    }

    fn search_non_finite(&self, arrays: &[&Buffer]) -> Result<NonFiniteSearch, Error> {
        let search = reduce::Search::start(self, &self.all(arrays));
        Ok(NonFiniteSearch::Pending(Arc::new(search)))
    }

    fn translate_index(
        &self,
        index: &Index,
        entries: usize,
        from: [usize; 3],
        first: [isize; 3],
        to: [usize; 3],
    ) -> Option<(Index, Buffer)> {
        let index = self.indices(index);
        let (moved, inside) = window::translate_index(self, index, entries, from, first, to);
        Some((moved.wrap_index(), inside.wrap()))
    }

    fn add_tiled_product(
        &self,
        acc: &mut Buffer,
        x: &Buffer,
        xs: (usize, usize),
        y: &Buffer,
        ys: (usize, usize),
    ) {
        let (x, y) = (self.read(x), self.read(y));
        self.write(acc, |acc| elementwise::add_tiled_product(self, acc, &x, xs, &y, ys));
    }

    fn conv_weights(&self, p: &ConvWeights, s: &Buffer, x: &Buffer) -> Buffer {
        window::conv_weights(self, p, &self.read(s), &self.read(x)).wrap()
    }
}
