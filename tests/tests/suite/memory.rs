//! Plans and memory budgets: what is planned is what happens, and slices give what the whole does.

use vivit::autodiff::{Graph, Loss, OuterDims, ParamId, ParamMap, Probe, Seed, StreamShape};
use vivit::curvature::{Error, Ggn, Plan, Slices, constant};
use vivit_tests::zoo::{Problem, Reticent, layers, problems};

use crate::nets::difference;

/// What comes out of a Gram space of two groups and does not depend on the choice of a basis where
/// eigenvalues coincide, and how the work was cut. `None` if the budget is too small.
fn everything(ggn: &Ggn<'_>, graph: &Graph) -> Option<(Plan, Vec<Vec<f64>>)> {
    let params = graph.params();
    let (first, second) = params.split_at(params.len() / 2);
    let large = |values: &[f64]| {
        let most = values.last().copied().unwrap_or(0.0);
        (0..values.len()).rev().filter(|&at| values[at] > 1e-6 * most).collect()
    };
    let groups =
        [first, second].into_iter().filter(|group| !group.is_empty()).map(<[ParamId]>::to_vec);
    let blocks = ggn.blocks(groups);
    let plan = blocks.plan().ok()?;
    let spaces = blocks.gram_spaces().unwrap();
    let mut lists = Vec::new();
    for space in &spaces {
        let directions = space.directional_derivatives(large).unwrap();
        lists.push(space.spectrum().to_vec());
        let (gammas, lambdas) = (&directions.gammas, &directions.lambdas);
        lists.push(
            (0..gammas.rows())
                .map(|n| gammas.row(n).iter().map(|gamma| gamma * gamma).sum())
                .collect(),
        );
        lists.push((0..lambdas.rows()).map(|n| lambdas.row(n).iter().sum()).collect());
    }
    for space in &spaces {
        let step = space.newton_step(large, constant(1.0)).unwrap().step;
        lists.extend(step.iter().map(|(_, step)| step.to_vec().unwrap()));
    }
    Some((plan, lists))
}

fn separable(problem: &Problem) -> Option<Graph> {
    let graph = problem.graph(&problem.params);
    graph.check_apart(Some("this test")).is_ok().then_some(graph)
}

#[test]
fn slices_give_what_the_whole_gives() {
    let (mut cut, mut columns) = (0, 0);
    for problem in problems().into_iter().chain(layers::each()) {
        let Some(graph) = separable(&problem) else { continue };
        let n = graph.samples();
        let odd: Vec<usize> = (0..n).rev().step_by(2).collect();
        let (loss, travelling) = (problem.loss.as_ref(), Reticent(problem.loss.as_ref()));
        let choices = [(None, None), (Some(odd.clone()), None), (None, Some(odd))];
        let losses = [&travelling as &dyn Loss, &travelling, &travelling, loss];
        for ((ggn_samples, grad_samples), loss) in choices.iter().chain(&choices[2..]).zip(losses) {
            let own = |budget: Option<usize>| {
                let mut ggn = Ggn::new(&graph, loss);
                if let Some(samples) = ggn_samples {
                    ggn = ggn.ggn_samples(samples.clone());
                }
                if let Some(samples) = grad_samples {
                    ggn = ggn.grad_samples(samples.clone());
                }
                if let Some(budget) = budget { ggn.memory_budget(budget) } else { ggn }
            };
            let (plan, whole) = everything(&own(None), &graph).expect("memory is not short");
            assert_eq!(plan.slices, Slices::WHOLE, "{}", problem.name);
            // Every budget between what the whole needs and what the finest slices need.
            let mut budget = plan.peak - 1;
            while let Some((plan, sliced)) = everything(&own(Some(budget)), &graph) {
                assert!(plan.peak <= budget, "{}: {} of {budget}", problem.name, plan.peak);
                cut += usize::from(plan.slices.count() > 1);
                columns += usize::from(plan.slices.columns > 1);
                for (which, (sliced, whole)) in sliced.iter().zip(&whole).enumerate() {
                    let error = difference(sliced, whole);
                    assert!(
                        error <= 1e-9,
                        "{}, {:?}, result {which}: off by {error:e}",
                        problem.name,
                        plan.slices
                    );
                }
                budget = plan.peak - 1;
            }
        }
    }
    assert!(
        cut > 100 && columns > 20,
        "only {cut} plans were cut, {columns} of them along columns"
    );
}

#[test]
fn plans_know_the_structure_of_every_parameter() {
    for problem in problems().into_iter().chain(layers::each()) {
        let Some(graph) = separable(&problem) else { continue };
        let mut planned = ParamMap::new();
        graph.plan_sweep(
            &[StreamShape { columns: 2, samples: graph.samples(), chosen: false }],
            &graph.params(),
            |site| {
                planned.insert(site.param, (site.structure, site.entries));
                0
            },
        );
        let probes = [Probe::new(Seed::Gradient)];
        let sweep = graph.sweep(
            problem.loss.as_ref(),
            &probes,
            &graph.params(),
            Some("this test"),
            |site| {
                let found = site.outer(0).map(|outer| OuterDims { v: 1, n: 1, ..outer.dims() });
                assert_eq!(
                    planned.get(site.param()),
                    Some(&(found, site.value().len())),
                    "{}, {}",
                    problem.name,
                    site.name()
                );
                Ok::<(), vivit::autodiff::Error>(())
            },
        );
        sweep.unwrap();
        assert_eq!(planned.len(), graph.params().len(), "{}", problem.name);
    }
}

#[test]
fn the_report_of_the_plan_is_that_of_the_work() {
    for problem in problems() {
        let Some(graph) = separable(&problem) else { continue };
        let (loss, travelling) = (problem.loss.as_ref(), Reticent(problem.loss.as_ref()));
        let own: [&dyn Loss; 3] = [loss, &travelling, &travelling];
        for (loss, grad_samples) in own.into_iter().zip([None, None, Some(vec![0])]) {
            let mut ggn = Ggn::new(&graph, loss);
            if let Some(samples) = grad_samples {
                ggn = ggn.grad_samples(samples);
            }
            let plan = ggn.plan().unwrap();
            assert_eq!(&plan.report, ggn.gram_space().unwrap().report(), "{}", problem.name);
            assert!(plan.multiply_adds() > plan.report.multiply_adds());
            let text = plan.to_string();
            assert!(
                text.contains("peak memory")
                    && plan.sweep.steps.iter().all(|step| text.contains(step.op)),
                "{text}"
            );
        }
    }
}

#[test]
fn too_small_a_budget_names_what_is_needed() {
    let problem = problems().remove(0);
    let graph = problem.graph(&problem.params);
    let refused = |budget: usize| {
        Ggn::new(&graph, problem.loss.as_ref()).memory_budget(budget).spectrum().unwrap_err()
    };
    let Error::Memory { need, budget, tape, gram } = refused(1000) else {
        panic!("no error of memory")
    };
    assert_eq!((budget, tape), (1000, graph.held_bytes()));
    assert!(need >= tape + gram && gram > 0);
    let message = refused(1000).to_string();
    assert!(
        ["1000", "memory_budget", &need.to_string()].iter().all(|part| message.contains(part)),
        "{message}"
    );
    let ggn = Ggn::new(&graph, problem.loss.as_ref()).memory_budget(need);
    assert!(ggn.spectrum().is_ok(), "what the error names suffices");
}
