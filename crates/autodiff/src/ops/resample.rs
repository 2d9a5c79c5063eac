//! Sparse linear maps of axes, one after the other: resizing, adaptive pooling.
//!
//! An entry of the result is a weighted sum of a few entries of its line: along every axis the map
//! is kept as its weights and where they come from and go to, never as a matrix.

use vivit_tensor::{AxisPicks, Device, Index, Tensor};

use crate::device_cache::DeviceCache;
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `y[o] = Σ_k weight[k] x[source[k]]` over the `k` with `target[k] = o`, along one axis.
#[derive(Clone, Debug, Default)]
pub(super) struct AxisMap {
    lens: [usize; 2],
    sources: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f64>,
    on_device: DeviceCache,
}

/// A map's lists on a device.
#[derive(Clone)]
struct Lists {
    sources: Index,
    targets: Index,
    weights: Tensor,
}

impl AxisMap {
    /// From an axis of `from` entries to one of `to`, of which entry `o` is the sum of `terms(o)`:
    /// pairs of a source and its weight.
    pub fn new<T: IntoIterator<Item = (usize, f64)>>(
        [from, to]: [usize; 2],
        terms: impl Fn(usize) -> T,
    ) -> Self {
        let mut map = AxisMap { lens: [from, to], ..AxisMap::default() };
        for o in 0..to {
            for (source, weight) in terms(o) {
                map.sources.push(source as u32);
                map.targets.push(o as u32);
                map.weights.push(weight);
            }
        }
        map
    }

    fn lists(&self, device: &Device) -> Lists {
        self.on_device.get_or(
            |lists: &Lists| lists.weights.device() == device,
            || {
                let weights = device.upload(self.weights.clone().into());
                Lists {
                    sources: device.upload_index(self.sources.clone()),
                    targets: device.upload_index(self.targets.clone()),
                    weights: Tensor::from_buf(device, [self.weights.len(), 1], weights),
                }
            },
        )
    }

    /// Maps axis `axis` of x; `transposed`, from the result's axis to the argument's.
    fn apply(&self, x: &Tensor, axis: usize, transposed: bool) -> Tensor {
        let (device, shape, Lists { sources, targets, weights }) =
            (x.device(), x.shape(), self.lists(x.device()));
        let outer = shape[..axis].iter().product();
        let inner = shape[axis + 1..].iter().product();
        let [from, to] = self.lens;
        let (from, to, sources, targets) =
            if transposed { (to, from, targets, sources) } else { (from, to, sources, targets) };
        let terms = self.weights.len();
        let picked =
            device.gather_axis(x.buf(), &sources, &AxisPicks::along([outer, from, inner], terms));
        let weighted = Tensor::from_buf(device, [outer, terms, inner], picked).mul(&weights);
        let sums = device.scatter_axis(
            weighted.buf(),
            &targets,
            &AxisPicks::along([outer, to, inner], terms),
        );
        let mut shape = shape.to_vec();
        shape[axis] = to;
        Tensor::from_buf(device, shape.as_slice(), sums)
    }
}

/// A sparse linear map along each of the last axes.
#[derive(Clone, Debug)]
pub struct Resample {
    name: &'static str,
    /// Of the last axes, outermost first.
    maps: Vec<AxisMap>,
}

impl Resample {
    pub(super) fn new(name: &'static str, maps: Vec<AxisMap>) -> Self {
        Resample { name, maps }
    }

    /// The means of windows that cover planes `input`, as many as `output` says: window `o` of
    /// `out` over `in` entries spans `⌊o·in/out⌋ .. ⌈(o+1)·in/out⌉` (PyTorch's rule).
    ///
    /// # Panics
    /// If the number of axes differs.
    #[track_caller]
    pub fn adaptive_average(input: &[usize], output: &[usize]) -> Self {
        assert!(input.len() == output.len(), "adaptive pooling to {output:?} of planes {input:?}");
        let map = |(&from, &to): (&usize, &usize)| {
            AxisMap::new([from, to], |o| {
                let (first, end) = (o * from / to, ((o + 1) * from).div_ceil(to));
                (first..end).map(move |at| (at, 1.0 / (end - first) as f64))
            })
        };
        Resample::new("adaptive average pooling", input.iter().zip(output).map(map).collect())
    }

    fn apply(&self, x: &Tensor, transposed: bool) -> Tensor {
        let first = x.shape().rank() - self.maps.len();
        let maps = self.maps.iter().enumerate();
        // What shrinks goes first: fewer entries for the others.
        let mut order: Vec<(usize, &AxisMap)> = maps.collect();
        order.sort_by(|(_, a), (_, b)| {
            let growth = |map: &AxisMap| map.lens[1] * 1000 / map.lens[0].max(1);
            growth(a).cmp(&growth(b))
        });
        if transposed {
            order.reverse();
        }
        order.into_iter().fold(x.clone(), |x, (at, map)| map.apply(&x, first + at, transposed))
    }
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], false)
    }

    /// `M` through the transposed maps, in the opposite order.
    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.apply(mat, true)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, false)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        let side = io.share(0).max(io.out_share());
        let terms = self.maps.iter().map(|map| {
            let [from, to] = map.lens;
            side * map.weights.len().div_ceil(from.max(to).max(1))
        });
        let most = terms.clone().max().unwrap_or(side);
        Effort { per_column: 2 * most + side, ..Effort::of(terms.sum()) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The means of windows that cover each plane: x `[N, C, *in]` to `[N, C, *output]`.
    ///
    /// # Panics
    /// If the number of spatial axes differs.
    #[track_caller]
    pub fn adaptive_avg_pool(&mut self, x: Var, output: &[usize]) -> Var {
        let pool = Resample::adaptive_average(&self.value(x).shape()[2..], output);
        self.record(pool, &[x])
    }
}
