//! The Gram engine: one parameter's share of `VᵀV` and `Vᵀg`, added up while the sweep passes.
//!
//! Rows are (column, sample) pairs, `v·N_S + n`. Gradients of the same samples are one more column
//! behind V's. Where V has outer-product structure, `cost` chooses in which order a share is
//! contracted.

mod cost;
mod dims;
mod expand;
mod factors;
mod pairs;
mod report;

use vivit_autodiff::{Batch, Error, Order, Outer, OuterDims, ParamId, Site};
use vivit_tensor::{Device, Tensor};

pub use cost::{Contraction, ContractionCost, ContractionOrder};
pub use dims::{ContractionDims, GramBlock};
pub use report::{GramReport, GramRow};

use expand::dims_between;
use pairs::{Place, Via};

/// The Gram blocks of one parameter group.
#[derive(Debug)]
pub(crate) struct GramBlocks {
    /// `VᵀV`, `[R, R]`, R being the columns times samples of V and, if they have the same samples,
    /// of g behind it; the lower half counts.
    lower: Tensor,
    /// As `lower`, of what goes pair by pair of samples: `C + Cᵀ` counts. Made when needed.
    pairs: Option<Tensor>,
    /// `Vᵀg`, `[R, N_grad]`, if gradients of other samples travel too.
    cross: Option<Tensor>,
    /// Rows of `lower` that belong to g.
    gradients: usize,
    contraction: Contraction,
}

impl GramBlocks {
    /// For sites like the given one: probe 0 is V, probe 1 (with `gradients`) the gradient.
    pub fn new(
        device: &Device,
        site: &Site<'_>,
        gradients: bool,
        contraction: Contraction,
    ) -> Self {
        let rows = site.rows(0);
        let n = if gradients { site.rows(1) } else { 0 };
        let apart = gradients && site.stacked().is_none();
        let (cross, n) =
            if apart { (Some(Tensor::zeros(device, [rows, n])), 0) } else { (None, n) };
        let lower = Tensor::zeros(device, [rows + n, rows + n]);
        GramBlocks { lower, pairs: None, cross, gradients: n, contraction }
    }

    /// Adds a parameter's share.
    pub fn add(&mut self, site: &Site<'_>, group: usize) -> Result<GramRow, Error> {
        let share =
            site.stacked().filter(|_| self.cross.is_none()).unwrap_or_else(|| site.share(0));
        let (samples, size) = (site.samples(0), site.value().dtype().size());
        let v = share.outer();
        let target =
            Target { param: site.param(), name: site.name(), entries: site.value().len(), group };
        let block = (share.rows() / samples, samples);
        let cross =
            self.cross.as_ref().map(|cross| (site.rows(1) / cross.shape()[1], cross.shape()[1]));
        let row =
            GramRow::of(target, v.as_ref().map(Outer::dims), block, cross, self.contraction, size);
        let contraction = self.contraction;
        let Some(v) = v.filter(|_| row.order != ContractionOrder::Raw) else {
            let v = share.jac_t(Batch::Keep);
            expand::add_raw_symmetric(&mut self.lower, &v);
            if let Some(cross) = &mut self.cross {
                expand::add_raw_between(cross, &v, &site.jac_t(1, Batch::Keep));
            }
            return Ok(row);
        };
        let limit = contraction.memory / size;
        let g = self
            .cross
            .is_some()
            .then(|| site.outer(1).expect("structure does not depend on the probe"));
        match row.order {
            ContractionOrder::Expand => {
                expand::add_symmetric(
                    &mut self.lower,
                    &v,
                    self.cross.as_mut().zip(g.as_ref()),
                    limit,
                );
                return Ok(row);
            }
            ContractionOrder::Factors => factors::add_symmetric(&mut self.lower, &v),
            order => {
                let (r, n) = (self.lower.shape()[0], samples);
                let pairs =
                    self.pairs.get_or_insert_with(|| Tensor::zeros(self.lower.device(), [r, r]));
                let place = Place { v: n * r, n: r, w: n, m: 1 };
                pairs::add(pairs, place, (&v, &v), GramBlock::Symmetric, via(order), limit);
            }
        }
        if let (Some(cross), Some(g), Some(order)) = (&mut self.cross, &g, row.cross) {
            add_outer_between(cross, &v, g, order, limit);
        }
        Ok(row)
    }

    /// `VᵀV`, `[R, R]`, of which the lower half counts, and `Vᵀg`, `[R, N_grad]`, if gradients
    /// travelled too.
    pub fn finish(mut self) -> (Tensor, Option<Tensor>) {
        if let Some(pairs) = self.pairs.take() {
            pairs::fold(&mut self.lower, &pairs);
        }
        if self.gradients == 0 {
            return (self.lower, self.cross);
        }
        let (all, n) = (self.lower.shape()[0], self.gradients);
        let r = all - n;
        let cut = [(0, 0), (0, -(n as isize))];
        let ggn = self.lower.slice(0, r).pad(&cut);
        let cross = self.lower.slice(r, all).pad(&cut).permute(&[1, 0]);
        (ggn, Some(cross))
    }
}

/// Adds a parameter's share of `VᵀW` to `cross: [R, R′]`, V and W being the columns of two probes
/// of a site.
pub(crate) fn add_between(
    cross: &mut Tensor,
    site: &Site<'_>,
    (v, w): (usize, usize),
    contraction: Contraction,
) {
    if let Some((a, b, order)) = structure(site, (v, w), contraction, dims_between) {
        return add_outer_between(cross, &a, &b, order, contraction.memory / size_of(site));
    }
    expand::add_raw_between(cross, &site.jac_t(v, Batch::Keep), &site.jac_t(w, Batch::Keep));
}

/// What [`add_between`] of blocks of (columns, samples) costs.
pub(crate) fn cost_between(
    structure: Option<OuterDims>,
    entries: usize,
    (v, n): (usize, usize),
    (w, m): (usize, usize),
    contraction: Contraction,
    size: usize,
) -> ContractionCost {
    let (dims, contraction) = as_rows(structure, entries, (v, n), contraction);
    contraction.choose(&ContractionDims::between(dims, w, m), size).1
}

/// The dimensions of (columns, samples) of a parameter, and how it can be contracted: without
/// structure it is one row of features, used once.
fn as_rows(
    structure: Option<OuterDims>,
    entries: usize,
    (v, n): (usize, usize),
    asked: Contraction,
) -> (OuterDims, Contraction) {
    match structure {
        Some(dims) => (OuterDims { v, n, ..dims }, asked),
        None => (
            OuterDims { v, n, g: 1, t: 1, o: 1, i: entries, one_hot: false, order: Order::OutIn },
            Contraction { order: Some(ContractionOrder::Raw), ..asked },
        ),
    }
}

/// Whose share a row of a report is about.
pub(crate) struct Target<'a> {
    pub param: ParamId,
    pub name: &'a str,
    pub entries: usize,
    pub group: usize,
}

impl GramRow {
    /// The choice for a block of (columns, samples) and its product with gradients of other
    /// samples, if there are such.
    pub(crate) fn of(
        target: Target<'_>,
        structure: Option<OuterDims>,
        (columns, samples): (usize, usize),
        cross: Option<(usize, usize)>,
        asked: Contraction,
        size: usize,
    ) -> Self {
        let Target { param, name, entries, group } = target;
        let (dims, contraction) = as_rows(structure, entries, (columns, samples), asked);
        let (order, mut cost) = contraction.choose(&ContractionDims::symmetric(dims), size);
        let cross = cross.map(|(w, m)| {
            // What is expanded for one serves the other.
            let expanded = matches!(order, ContractionOrder::Raw | ContractionOrder::Expand);
            let order = if expanded { Some(order) } else { contraction.order };
            let (order, more) = Contraction { order, ..contraction }
                .choose(&ContractionDims::between(dims, w, m), size);
            cost = cost.and(more);
            order
        });
        let structure = structure.map(|_| dims);
        let refused = asked.order.filter(|&asked| asked != order);
        GramRow {
            param,
            name: name.into(),
            group,
            entries,
            columns,
            samples,
            structure,
            order,
            cross,
            refused,
            cost,
        }
    }
}

/// Adds a parameter's share of `V_cᵀ W_c`, column by column, to `cross: [C, N, N′]`.
pub(crate) fn add_by_column(
    cross: &mut Tensor,
    site: &Site<'_>,
    (v, w): (usize, usize),
    contraction: Contraction,
) {
    let by_column = |a: &Outer, b: &Outer| ContractionDims::by_column(a.dims(), b.dims().n);
    let Some((a, b, order)) = structure(site, (v, w), contraction, by_column) else {
        return expand::add_raw_by_column(
            cross,
            &site.jac_t(v, Batch::Keep),
            &site.jac_t(w, Batch::Keep),
        );
    };
    let limit = contraction.memory / size_of(site);
    match order {
        ContractionOrder::Factors => factors::add_by_column(cross, &a, &b),
        ContractionOrder::Expand | ContractionOrder::Raw => {
            expand::add_by_column(cross, &a, &b, limit)
        }
        order => {
            let (n, m) = (cross.shape()[1], cross.shape()[2]);
            let place = Place { v: n * m, n: m, w: 0, m: 1 };
            pairs::add(cross, place, (&a, &b), GramBlock::ByColumn, via(order), limit);
        }
    }
}

/// Bytes of a number of a site.
fn size_of(site: &Site<'_>) -> usize {
    site.value().dtype().size()
}

/// Two probes' structures and the order to contract them in; `None` if V is to be used as it is.
fn structure(
    site: &Site<'_>,
    (v, w): (usize, usize),
    contraction: Contraction,
    dims: impl Fn(&Outer, &Outer) -> ContractionDims,
) -> Option<(Outer, Outer, ContractionOrder)> {
    let (a, b) = (site.outer(v)?, site.outer(w)?);
    let (order, _) = contraction.choose(&dims(&a, &b), size_of(site));
    (order != ContractionOrder::Raw).then_some((a, b, order))
}

/// Adds `VᵀW` to `cross: [V·N, W·M]`.
fn add_outer_between(
    cross: &mut Tensor,
    v: &Outer,
    w: &Outer,
    order: ContractionOrder,
    limit: usize,
) {
    match order {
        ContractionOrder::Factors => factors::add_between(cross, v, w),
        ContractionOrder::Expand | ContractionOrder::Raw => expand::add_between(cross, v, w, limit),
        order => {
            let (d, e) = (v.dims(), w.dims());
            let cols = e.v * e.n;
            let (left, right) = ((d.n * cols, cols), (e.n, 1));
            // The side of fewer columns meets positions first.
            let (sides, left, right) =
                if e.v < d.v { ((w, v), right, left) } else { ((v, w), left, right) };
            let place = Place { v: left.0, n: left.1, w: right.0, m: right.1 };
            pairs::add(cross, place, sides, GramBlock::Between, via(order), limit);
        }
    }
}

fn via(order: ContractionOrder) -> Via {
    if order == ContractionOrder::OneSide { Via::OneSide } else { Via::Positions }
}
