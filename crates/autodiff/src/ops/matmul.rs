//! `y[…, i, j] = Σ_k a[…, i, k] b[…, k, j]`, with `numpy.matmul`'s repetition of leading axes.

use vivit_tensor::{Gemm, Shape, Strides, Tensor};

use crate::{Batch, Effort, Io, Op, Order, Outer, OuterDims, Positions, Second, Tape, Var};

/// Matrix product of `[…, I, K]` and `[…, K, J]` (with `transposed`, `[…, J, K]`) per sample and
/// leading index. Leading axes of length one, and missing ones, repeat; so does a factor without a
/// sample axis.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// Whether the second factor is stored transposed.
    pub transposed: bool,
    /// Whether the factors carry a sample axis.
    pub batched: [bool; 2],
}

/// A leading axis: its length and distances in a, b and y; 0 where a factor repeats.
#[derive(Clone, Copy)]
struct Lead {
    len: usize,
    a: usize,
    b: usize,
    y: usize,
}

/// Numbers of a product.
struct Dims {
    /// The sample axis, if there is one.
    sample: Option<Lead>,
    /// The other leading axes.
    leads: Vec<Lead>,
    i: usize,
    j: usize,
    k: usize,
    /// The result's shape.
    shape: Shape,
}

impl Dims {
    /// All leading axes, as few as possible.
    fn merged(&self) -> Vec<Lead> {
        let mut merged: Vec<Lead> = Vec::new();
        for &lead in self.sample.iter().chain(&self.leads).filter(|lead| lead.len != 1) {
            match merged.last_mut() {
                Some(outer)
                    if (outer.a, outer.b, outer.y)
                        == (lead.len * lead.a, lead.len * lead.b, lead.len * lead.y) =>
                {
                    *outer = Lead { len: outer.len * lead.len, ..lead };
                }
                _ => merged.push(lead),
            }
        }
        merged
    }

    /// All leading axes, and the rows of a: an axis along which b repeats is more rows, where they
    /// lie one after the other.
    fn rows(&self) -> (Vec<Lead>, usize) {
        let (mut leads, mut i) = (self.merged(), self.i);
        while let Some(last) = leads.last() {
            if (last.a, last.b, last.y) != (i * self.k, 0, i * self.j) {
                break;
            }
            i *= last.len;
            leads.pop();
        }
        (leads, i)
    }
}

/// `g` over the leading axes, with the distances that `of` picks.
fn over(g: Gemm, leads: &[Lead], of: impl Fn(&Lead) -> [usize; 3]) -> Gemm {
    leads.iter().fold(g, |g, lead| {
        let [a, b, c] = of(lead);
        g.batch(lead.len, a, b, c)
    })
}

impl MatMul {
    #[track_caller]
    fn dims(self, a: &Shape, b: &Shape) -> Dims {
        let [of_a, of_b] = self.batched.map(usize::from);
        let fits = a.rank() >= 2 + of_a && b.rank() >= 2 + of_b;
        assert!(fits, "matrix product of {a} and {b}: each needs two axes");
        let ([i, k], [p, q]) = (last_two(a), last_two(b));
        let (other, j) = if self.transposed { (q, p) } else { (p, q) };
        assert!(k == other, "matrix product of {a} and {b}: the inner axes differ");
        let own = |shape: &Shape, first: usize| Shape::new(&shape[first..shape.rank() - 2]);
        let (lead_a, lead_b) = (own(a, of_a), own(b, of_b));
        let lead = lead_a
            .broadcast(&lead_b)
            .unwrap_or_else(|| panic!("matrix product of {a} and {b}: leading axes differ"));
        let mut front = lead.to_vec();
        if of_a + of_b > 0 {
            let n = if of_a == 1 { a[0] } else { b[0] };
            assert!(
                of_a + of_b < 2 || a[0] == b[0],
                "matrix product of {a} and {b}: samples differ"
            );
            front.insert(0, n);
        }
        let shape = Shape::new(&[&front[..], &[i, j]].concat());
        let strides = [a, b, &shape].map(Shape::strides);
        // Distances of a factor along the leading axes; it may lack the first of them.
        let steps = |own: &Shape, first: usize, strides: &[usize]| -> Vec<usize> {
            let missing = lead.rank() - own.rank();
            let step = |at: usize| match at.checked_sub(missing) {
                Some(at) if own[at] != 1 => strides[first + at],
                _ => 0,
            };
            (0..lead.rank()).map(step).collect()
        };
        let (in_a, in_b) = (steps(&lead_a, of_a, &strides[0]), steps(&lead_b, of_b, &strides[1]));
        let first = front.len() - lead.rank();
        let leads = (0..lead.rank()).map(|at| Lead {
            len: lead[at],
            a: in_a[at],
            b: in_b[at],
            y: strides[2][first + at],
        });
        let sample = (first == 1).then(|| Lead {
            len: front[0],
            a: strides[0][0] * of_a,
            b: strides[1][0] * of_b,
            y: strides[2][0],
        });
        Dims { sample, leads: leads.collect(), i, j, k, shape }
    }

    /// Layout of the second factor as `[K, J]`.
    fn right(self, d: &Dims) -> Strides {
        if self.transposed { Strides::transposed(d.k) } else { Strides::rows(d.j) }
    }

    /// Which factor is a matrix that all samples of the other, the only batched one, are multiplied
    /// with so that its Jacobian is a sum of outer products.
    fn weight(self, io: Io<'_>) -> Option<usize> {
        let rank = |arg: usize| io.args[arg].shape().rank();
        match self.batched {
            [true, false] if rank(1) == 2 => Some(1),
            [false, true] if rank(0) == 2 && rank(1) == 3 => Some(0),
            _ => None,
        }
    }
}

fn last_two(shape: &Shape) -> [usize; 2] {
    [shape[shape.rank() - 2], shape[shape.rank() - 1]]
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matrix product"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (a, b) = (args[0], args[1]);
        let d = self.dims(a.shape(), b.shape());
        let (leads, i) = d.rows();
        let g = Gemm { b: self.right(&d), ..Gemm::new(i, d.j, d.k) };
        a.gemm(&over(g, &leads, |lead| [lead.a, lead.b, lead.y]), b, d.shape)
    }

    /// - a: `M Bᵀ`
    /// - b: `Aᵀ M`, or `Mᵀ A` where it is stored transposed
    ///
    /// summed over the axes along which a factor repeats.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let (a, b, v) = (io.args[0], io.args[1], mat.shape()[0]);
        let (d, len, own) = (self.dims(a.shape(), b.shape()), io.out.len(), *io.args[wrt].shape());
        let keep = io.batch(batch) == Batch::Keep && !io.batched[wrt];
        let (leads, i) = if keep {
            // Every sample has a product of its own.
            let sample = d.sample.map(|lead| match wrt {
                0 => Lead { a: a.len(), ..lead },
                _ => Lead { b: b.len(), ..lead },
            });
            (sample.iter().chain(&d.leads).copied().collect(), d.i)
        } else {
            d.rows()
        };
        let n = if keep { io.samples() } else { 1 };
        let shape = if keep { own.prefixed(&[v, n]) } else { own.prefixed(&[v]) };
        let to = n * own.size();
        if wrt == 0 {
            let right = self.right(&d);
            let b_t = Strides { row: right.col, col: right.row, ..right };
            if leads.is_empty() {
                return mat.gemm(&Gemm { b: b_t, ..Gemm::new(v * i, d.k, d.j) }, b, shape);
            }
            let g = Gemm { b: b_t, ..Gemm::new(i, d.k, d.j) }.batch(v, len, 0, to);
            return mat.gemm(&over(g, &leads, |lead| [lead.y, lead.b, lead.a]), b, shape);
        }
        if self.transposed {
            let g = Gemm::tn(d.j, d.k, i).batch(v, len, 0, to);
            return mat.gemm(&over(g, &leads, |lead| [lead.y, lead.a, lead.b]), a, shape);
        }
        let g = Gemm::tn(d.k, d.j, i).batch(v, 0, len, to);
        a.gemm(&over(g, &leads, |lead| [lead.a, lead.y, lead.b]), mat, shape)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (a, b, k) = (io.args[0], io.args[1], tangent.shape()[0]);
        let d = self.dims(a.shape(), b.shape());
        let ((leads, i), len) = (d.rows(), io.out.len());
        let g = Gemm { b: self.right(&d), ..Gemm::new(i, d.j, d.k) };
        let of = |lead: &Lead| [lead.a, lead.b, lead.y];
        let shape = io.out.shape().prefixed(&[k]);
        if wrt == 0 {
            tangent.gemm(&over(g.batch(k, a.len(), 0, len), &leads, of), b, shape)
        } else {
            a.gemm(&over(g.batch(k, 0, b.len(), len), &leads, of), tangent, shape)
        }
    }

    /// A weight on the right: `s = M`, `z = a`; on the left, columns are the positions of `s = M`
    /// and `z = b`.
    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        self.weight(io).filter(|&weight| weight == wrt)?;
        let dims = self.outer_dims(io, wrt)?;
        let (v, n, OuterDims { t, o, i, order, .. }) = (mat.shape()[0], io.samples(), dims);
        let z = io.args[1 - wrt];
        Some(if wrt == 1 {
            let (s, z) = (mat.reshape([v, n, 1, t, o]), z.reshape([n, 1, t, i]));
            Outer::new(s, z, [Positions::Outside; 2]).ordered(order)
        } else {
            let s = mat.reshape([v, n, 1, o, t]);
            let (z, of_z) = if self.transposed {
                (z.reshape([n, 1, t, i]), Positions::Outside)
            } else {
                (z.reshape([n, 1, i, t]), Positions::Inside)
            };
            Outer::new(s, z, [Positions::Inside, of_z])
        })
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        self.weight(io).filter(|&weight| weight == wrt)?;
        let d = self.dims(io.args[0].shape(), io.args[1].shape());
        let (o, t) = if wrt == 1 { (d.j, io.share(0) / d.k.max(1)) } else { (d.i, d.j) };
        let in_out = wrt == 1 && !self.transposed;
        let order = if in_out { Order::InOut } else { Order::OutIn };
        Some(OuterDims { v: 1, n: 1, g: 1, t, o, i: d.k, one_hot: false, order })
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share() * last_two(io.args[0].shape())[1])
    }

    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::bilinear(wrt, along)
    }
}

impl Tape {
    /// The shape of a sample, or of a value without a sample axis.
    pub(super) fn own_shape(&self, x: Var) -> Shape {
        let shape = *self.value(x).shape();
        if self.is_batched(x) { shape.tail() } else { shape }
    }

    #[track_caller]
    fn products(&mut self, a: Var, b: Var, transposed: bool) -> Var {
        let (of_a, of_b) = (self.own_shape(a), self.own_shape(b));
        let vectors = [of_a.rank() == 1, of_b.rank() == 1];
        // A vector is one row on the left, one column on the right; its axis disappears again.
        let a = if vectors[0] { self.reshape(a, &[1, of_a[0]]) } else { a };
        let b = match (vectors[1], transposed) {
            (true, false) => self.reshape(b, &[of_b[0], 1]),
            (true, true) => self.reshape(b, &[1, of_b[0]]),
            _ => b,
        };
        let batched = [self.is_batched(a), self.is_batched(b)];
        let y = self.record(MatMul { transposed, batched }, &[a, b]);
        if vectors == [false; 2] {
            return y;
        }
        let mut shape = self.own_shape(y).to_vec();
        let rank = shape.len();
        let mut kept = [!vectors[0], !vectors[1]].into_iter();
        let mut at = 0;
        shape.retain(|_| {
            at += 1;
            at <= rank - 2 || kept.next().unwrap_or(true)
        });
        self.reshape(y, &shape)
    }

    /// `a · b` per sample and leading index, as `numpy.matmul`: `[…, I, K]` and `[…, K, J]` to `[…,
    /// I, J]`.
    ///
    /// Leading axes of length one, and missing ones, repeat; a vector is a row on the left and a
    /// column on the right. A factor without a sample axis is that of every sample; a matrix of
    /// this kind is a weight, whose derivatives per sample stay sums of outer products (on the
    /// left, if the other factor has no further leading axes).
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [2, 1, 2], vec![1.0, 2.0, 3.0, 4.0])?);
    /// let w = tape.param(Tensor::from_vec(&cpu, [2, 1], vec![1.0, 10.0])?);
    /// let y = tape.matmul(x, w); // [2, 1, 1]
    /// assert_eq!(tape.value(y).to_vec()?, [21.0, 43.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn matmul(&mut self, a: Var, b: Var) -> Var {
        self.products(a, b, false)
    }

    /// `a · bᵀ` per sample and leading index: `[…, I, K]` and `[…, J, K]` to `[…, I, J]`; otherwise
    /// as [`matmul`](Tape::matmul).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn matmul_transposed(&mut self, a: Var, b: Var) -> Var {
        self.products(a, b, true)
    }
}
