//! A data set in batches is the same as its samples in one batch.

use vivit::autodiff::loss::{BceWithLogitsSpec, CrossEntropySpec, LossSpec, MseSpec};
use vivit::autodiff::{
    BatchTargets, Batches, BceWithLogits, CrossEntropy, DataBatch, Graph, Labels, Loss, Mse,
    ParamMap,
};
use vivit::curvature::{
    CurvatureProduct, DataCurvature, DataGgn, Ggn, LanczosOptions, directional_derivatives_along,
    eigenspace_overlap, top_k,
};
use vivit::extend::{DiagGgn, SumGradSquared, run};
use vivit::nn::{MiniBatches, Sequential, linear, tanh};
use vivit::tensor::{Device, Rng, Tensor};

const SAMPLES: usize = 23;
const CLASSES: usize = 3;

/// Samples in batches of uneven sizes, in an order of their own.
struct Uneven {
    inputs: Tensor,
    targets: BatchTargets,
    cuts: Vec<usize>,
    order: Vec<usize>,
}

impl Batches for Uneven {
    fn len(&self) -> usize {
        self.cuts.len() - 1
    }

    fn samples(&self) -> usize {
        self.order.len()
    }

    fn batch(&self, index: usize) -> Result<DataBatch, vivit::autodiff::Error> {
        let samples = self.order[self.cuts[index]..self.cuts[index + 1]].to_vec();
        let targets = match &self.targets {
            BatchTargets::Labels(labels) => labels.select(&samples, 1).into(),
            BatchTargets::Values(values) => values.index_select(0, &samples).into(),
            other => panic!("no such targets: {other:?}"),
        };
        Ok(DataBatch { inputs: self.inputs.index_select(0, &samples).into(), targets, samples })
    }
}

fn model() -> Sequential {
    let layers = vec![linear(4, 5), tanh(), linear(5, CLASSES)];
    Sequential::new(&Device::cpu_f64(), layers, 3).unwrap()
}

fn inputs() -> Tensor {
    let numbers = Rng::new(7).normal(SAMPLES * 4);
    Tensor::from_vec(&Device::cpu_f64(), [SAMPLES, 4], numbers).unwrap()
}

/// A loss before it knows its targets, the targets, and the loss of all samples at once.
type Both = (Box<dyn LossSpec>, BatchTargets, Box<dyn Loss>);

fn losses() -> Vec<Both> {
    let cpu = Device::cpu_f64();
    let labels: Vec<i64> =
        (0..SAMPLES as i64).map(|n| if n % 6 == 4 { -100 } else { n * n % 3 }).collect();
    let weights = vec![0.5, 1.0, 3.0];
    let numbers = Rng::new(1).normal(SAMPLES * CLASSES);
    let numbers = Tensor::from_vec(&cpu, [SAMPLES, CLASSES], numbers).unwrap();
    let shares = Rng::new(2).uniform(SAMPLES * CLASSES, 0.0, 1.0);
    let positive = Tensor::from_vec(&cpu, [CLASSES], vec![2.0, 1.0, 0.3]).unwrap();
    let shares_of = Tensor::from_vec(&cpu, [SAMPLES, CLASSES], shares.clone()).unwrap();
    let all = Labels::from(&labels);
    vec![
        (
            Box::new(CrossEntropySpec::mean().class_weights(weights.clone()).ignore_index(-100)),
            all.clone().into(),
            Box::new(
                CrossEntropy::mean(all.clone()).class_weights(weights.clone()).ignore_index(-100),
            ),
        ),
        (
            Box::new(CrossEntropySpec::sum().label_smoothing(0.1).ignore_index(-100)),
            all.clone().into(),
            Box::new(CrossEntropy::sum(all).label_smoothing(0.1).ignore_index(-100)),
        ),
        (
            Box::new(CrossEntropySpec::mean()),
            shares_of.clone().into(),
            Box::new(CrossEntropy::soft_mean(shares)),
        ),
        (Box::new(MseSpec::mean()), numbers.clone().into(), Box::new(Mse::mean(numbers.clone()))),
        (Box::new(MseSpec::sum()), numbers.clone().into(), Box::new(Mse::sum(numbers))),
        (
            Box::new(BceWithLogitsSpec::mean().pos_weight(positive.clone())),
            shares_of.clone().into(),
            Box::new(BceWithLogits::mean(shares_of).pos_weight(positive)),
        ),
    ]
}

fn uneven(targets: BatchTargets) -> Uneven {
    let order = Rng::new(5).permutation(SAMPLES);
    Uneven { inputs: inputs(), targets, cuts: vec![0, 1, 8, 10, 17, SAMPLES], order }
}

#[track_caller]
fn close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-12f64, |scale, x| scale.max(x.abs()));
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-10 * scale, "{what}: {got} for {expected}");
    }
}

#[track_caller]
fn close_maps(what: &str, got: &ParamMap<Tensor>, expected: &ParamMap<Tensor>) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (param, expected) in expected.iter() {
        assert_eq!(got[param].shape(), expected.shape(), "{what}");
        close(what, &got[param].to_vec().unwrap(), &expected.to_vec().unwrap());
    }
}

fn directions(graph: &Graph, k: usize) -> ParamMap<Tensor> {
    let mut rng = Rng::new(11);
    let of = |&param| {
        let shape = graph.tape().param_value(param).unwrap().shape().prefixed(&[k]);
        let numbers = rng.normal(shape.size());
        (param, Tensor::from_vec(&Device::cpu_f64(), shape, numbers).unwrap())
    };
    graph.params().iter().map(of).collect()
}

#[test]
fn dataset_quantities_are_those_of_one_batch() {
    let model = model();
    for (spec, targets, whole) in losses() {
        let (batches, whole) = (uneven(targets), whole.as_ref());
        let data = DataGgn::new(&model, spec.as_ref(), &batches).unwrap();
        let graph = model.forward(&inputs()).unwrap();
        let name = format!("{spec:?}");
        close(&name, &[data.loss().unwrap()], &[graph.loss(whole).unwrap()]);
        close_maps(&name, &data.gradient().unwrap(), &graph.backward(whole).unwrap());
        let diagonal = |graph: &Graph, loss: &dyn Loss| {
            run(graph, loss, (DiagGgn::exact(),)).map(|(diagonal,)| diagonal)
        };
        let expected = run(&graph, whole, (DiagGgn::exact(),)).unwrap().0;
        close_maps(&name, &data.sum(diagonal).unwrap(), &expected);
        let squares = |graph: &Graph, loss: &dyn Loss| {
            run(graph, loss, (SumGradSquared::new(),)).map(|(squares,)| squares)
        };
        let expected = run(&graph, whole, (SumGradSquared::new(),)).unwrap().0;
        close_maps(&name, &data.sum(squares).unwrap(), &expected);

        let vectors = directions(&graph, 2);
        let along = data.directional_derivatives(&vectors).unwrap();
        let expected = directional_derivatives_along(&graph, whole, &vectors).unwrap();
        close(&name, along.gammas.as_slice(), expected.gammas.as_slice());
        close(&name, along.lambdas.as_slice(), expected.lambdas.as_slice());
        for (curvature, product) in [
            (DataCurvature::Ggn, CurvatureProduct::ggn(&graph, whole)),
            (DataCurvature::Hessian, CurvatureProduct::hessian(&graph, whole)),
            (DataCurvature::EmpiricalFisher, CurvatureProduct::empirical_fisher(&graph, whole)),
        ] {
            let data = DataGgn::new(&model, spec.as_ref(), &batches).unwrap().curvature(curvature);
            let expected = product.build().unwrap().multiply(&vectors).unwrap();
            close_maps(
                &format!("{name} {curvature:?}"),
                &data.multiply(&vectors).unwrap(),
                &expected,
            );
        }
    }
}

#[test]
fn dataset_eigenpairs_are_those_of_the_gram_route() {
    let (model, spec) = (model(), CrossEntropySpec::mean());
    let labels: Vec<usize> = (0..SAMPLES).map(|n| n * n % 3).collect();
    let batches = MiniBatches::new(inputs(), &labels, 4).unwrap().shuffled(9);
    let data = DataGgn::new(&model, &spec, &batches).unwrap();
    let options = LanczosOptions::default().tolerance(1e-11);
    let top = data.eigenpairs(3, &options).unwrap();
    assert!(data.passes() > 3);
    let graph = model.forward(&inputs()).unwrap();
    let loss = CrossEntropy::mean(&labels);
    let expected = Ggn::new(&graph, &loss).directional_derivatives(top_k(3)).unwrap();
    close("eigenvalues", &top.eigenvalues, &expected.eigenvalues);
    // Of all samples, in the data's own numbering, along eigenvectors of either sign.
    let along = data.directional_derivatives(&data.unflatten(&top.eigenvectors).unwrap()).unwrap();
    let size = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
    for (got, expected) in [(&along.gammas, &expected.gammas), (&along.lambdas, &expected.lambdas)]
    {
        let (got, expected) = (size(got.as_slice()), size(expected.as_slice()));
        let scale = expected.iter().fold(0.0f64, |scale, x| scale.max(*x));
        let worst = got.iter().zip(&expected).fold(0.0f64, |w, (a, b)| w.max((a - b).abs()));
        assert!(worst < 1e-8 * scale, "{worst} of {scale}");
    }
}

#[test]
fn dataset_eigenspaces_of_ggn_and_hessian_overlap_as_defined() {
    let (model, spec) = (model(), CrossEntropySpec::mean());
    let labels: Vec<usize> = (0..SAMPLES).map(|n| n * n % 3).collect();
    let batches = MiniBatches::new(inputs(), &labels, 6).unwrap();
    let options = LanczosOptions::default().tolerance(1e-10);
    let space = |curvature, k| {
        let data = DataGgn::new(&model, &spec, &batches).unwrap().curvature(curvature);
        let rows = data.eigenpairs(k, &options).unwrap().eigenvectors;
        (data.unflatten(&rows).unwrap(), rows.to_matrix::<f64>().unwrap())
    };
    let (ggn, a) = space(DataCurvature::Ggn, 4);
    let (hessian, b) = space(DataCurvature::Hessian, 3);
    let mut expected = 0.0;
    for i in 0..4 {
        for j in 0..3 {
            let dot: f64 = a.row(i).iter().zip(b.row(j)).map(|(x, y)| x * y).sum();
            expected += dot * dot / 3.0;
        }
    }
    let overlap = eigenspace_overlap(&ggn, &hessian).unwrap();
    assert!((overlap - expected).abs() < 1e-12 && overlap > 0.05 && overlap < 1.0, "{overlap}");
    let same = eigenspace_overlap(&ggn, &ggn).unwrap();
    assert!((same - 1.0).abs() < 1e-9, "{same}");
}

#[test]
fn dataset_without_its_last_batch_has_numbers_from_zero_on() {
    let labels: Vec<usize> = (0..SAMPLES).collect();
    let all = || MiniBatches::new(inputs(), &labels, 5).unwrap();
    for batches in [all().drop_last(), all().shuffled(3).drop_last(), all().shuffled(3), all()] {
        let mut numbers = Vec::new();
        let mut classes = Vec::new();
        for index in 0..Batches::len(&batches) {
            let batch = batches.batch(index).unwrap();
            let BatchTargets::Labels(labels) = &batch.targets else { panic!("labels") };
            classes.extend(labels.as_slice().iter().copied().zip(batch.samples.iter().copied()));
            numbers.extend(batch.samples);
        }
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..Batches::samples(&batches)));
        // Numbers are in the order of the data, whose labels count up.
        classes.sort_unstable();
        assert!(classes.iter().map(|(_, number)| *number).eq(0..numbers.len()));
    }
}

#[test]
fn dataset_in_any_cuts_is_close_and_in_the_same_cuts_the_same() {
    let (model, spec) = (model(), MseSpec::mean());
    let targets = Tensor::from_vec(&Device::cpu_f64(), [SAMPLES, CLASSES], Rng::new(1).normal(69));
    let targets = targets.unwrap();
    let loss_in = |size: usize| {
        let batches = MiniBatches::with_targets(inputs(), targets.clone(), size).unwrap();
        DataGgn::new(&model, &spec, &batches).unwrap().loss().unwrap()
    };
    assert_eq!(loss_in(5).to_bits(), loss_in(5).to_bits());
    close("in other cuts", &[loss_in(5)], &[loss_in(SAMPLES)]);
}

/// Batches that are spoilt after the first pass.
struct Changing(Uneven, std::sync::atomic::AtomicUsize);

impl Batches for Changing {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn samples(&self) -> usize {
        self.0.samples()
    }

    fn batch(&self, index: usize) -> Result<DataBatch, vivit::autodiff::Error> {
        let batch = self.0.batch(index)?;
        if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 7 {
            return Ok(batch);
        }
        Ok(DataBatch { inputs: batch.inputs.iter().next().unwrap().1.scale(2.0).into(), ..batch })
    }
}

#[test]
fn dataset_errors_name_the_batch() {
    let model = model();
    let labels: Labels = vec![0usize; SAMPLES].into();
    let spec = CrossEntropySpec::mean();
    let changing = Changing(uneven(labels.clone().into()), Default::default());
    let text = DataGgn::new(&model, &spec, &changing).unwrap().loss().unwrap_err().to_string();
    assert!(text.contains("batch 2") && text.contains("differs"), "{text}");

    let mut twice = uneven(labels.clone().into());
    twice.order[3] = twice.order[9];
    let text = DataGgn::new(&model, &spec, &twice).err().unwrap().to_string();
    assert!(text.contains("batch 2") && text.contains("twice"), "{text}");

    let mut beyond = uneven(Labels::from(vec![7i64; SAMPLES]).into());
    beyond.cuts = vec![0, SAMPLES];
    let text = DataGgn::new(&model, &spec, &beyond).unwrap().loss().unwrap_err().to_string();
    assert!(text.contains("batch 0") && text.contains("label 7"), "{text}");

    let ignored = CrossEntropySpec::mean().ignore_index(0);
    let batches = uneven(labels.clone().into());
    let text = DataGgn::new(&model, &ignored, &batches).err().unwrap().to_string();
    assert!(text.contains("nothing to average"), "{text}");

    let text = DataGgn::new(&model, &MseSpec::mean(), &batches).err().unwrap().to_string();
    assert!(text.contains("batch 0") && text.contains("labels"), "{text}");
}
