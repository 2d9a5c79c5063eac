//! Attention, recurrent layers, norms and bilinear forms on the tape against PyTorch: results, and
//! what a cotangent gives at every argument.

use vivit::autodiff::ops::{
    AttentionOptions, Cell, LocalResponseOptions, RecurrentOptions, RecurrentParams,
};
use vivit::autodiff::{Graph, Tape, Var};
use vivit::tensor::{Device, Tensor};
use vivit_tests::case::{Case, own_cases};
use vivit_tests::reference::tolerance;
use vivit_tests::report::scaled_error;

/// Records `f` of a case's arguments, which are parameters, and compares result and gradients.
#[track_caller]
fn agrees(name: &str, f: impl Fn(&mut Tape, &[Var], &Case) -> Var) {
    let case = Case::read(&own_cases().join(format!("tape/{name}.safetensors"))).unwrap();
    for device in [Device::cpu_f64(), Device::cpu()] {
        let tolerance = tolerance(device.dtype());
        let array = |name: &str| {
            let array = case.array(name).unwrap();
            Tensor::from_vec(&device, &array.shape, &array.data).unwrap()
        };
        let mut tape = Tape::new(&device);
        let count = case.under("arg/").count();
        let args: Vec<Var> = (0..count).map(|at| tape.param(array(&format!("arg/{at}")))).collect();
        let result = f(&mut tape, &args, &case);
        let graph = Graph::new(tape, result).unwrap();
        let expected = &case.array("result").unwrap().data;
        let error = scaled_error(&graph.value().to_vec().unwrap(), expected, 0.0);
        assert!(error <= tolerance, "{name} on {device}: result off by {error:e}");
        let cotangent = array("cotangent");
        let columns = cotangent.reshape(cotangent.shape().prefixed(&[1]));
        let gradients = graph.vjp(&columns).unwrap();
        assert_eq!(gradients.len(), count, "{name}: not all arguments matter");
        for (at, arg) in args.iter().enumerate() {
            let got = gradients[graph.param_id(*arg).unwrap()].to_vec().unwrap();
            let expected = &case.array(&format!("gradient/{at}")).unwrap().data;
            let error = scaled_error(&got, expected, 0.0);
            assert!(error <= tolerance, "{name} on {device}: gradient {at} off by {error:e}");
        }
    }
}

/// A parameter `[N, *]` as a batch: sample n chooses its row.
fn batch(tape: &mut Tape, x: Var) -> Var {
    let shape = *tape.value(x).shape();
    let chosen = tape.input(Tensor::eye(tape.device(), shape[0]));
    let table = tape.reshape(x, &[shape[0], shape.tail().size()]);
    let table = tape.permute(table, &[1, 0]);
    let rows = tape.linear(chosen, table, None);
    tape.reshape(rows, &shape.tail())
}

fn batches<const N: usize>(tape: &mut Tape, args: &[Var]) -> [Var; N] {
    std::array::from_fn(|at| batch(tape, args[at]))
}

#[test]
fn attention() {
    let options = AttentionOptions::default();
    for (name, options) in [
        ("attention", options),
        ("attention_causal", options.causal(true).scale(Some(0.3))),
        ("attention_grouped", options),
    ] {
        agrees(name, |tape, args, _| {
            let [q, k, v] = batches(tape, args);
            tape.attention(q, k, v, options)
        });
    }
    agrees("attention_masked", |tape, args, case| {
        let [q, k, v] = batches(tape, args);
        let mask = case.array("mask").unwrap();
        let mask = Tensor::from_vec(tape.device(), &mask.shape, &mask.data).unwrap();
        let mask = tape.batched_constant(mask);
        tape.attention(q, k, v, options.mask(Some(mask)))
    });
}

#[test]
fn attention_without_samples() {
    // One sample's arrays as parameters: the same numbers as of a batch of it.
    agrees("attention_causal", |tape, args, _| {
        let options = AttentionOptions::default().causal(true).scale(Some(0.3));
        let samples = [0, 1].map(|n| {
            let [q, k, v] = [0, 1, 2].map(|at| {
                let one = tape.slice(args[at], 0, n, n + 1);
                let own = tape.value(one).shape().tail();
                tape.reshape(one, &own)
            });
            let y = tape.attention(q, k, v, options);
            let own = *tape.value(y).shape();
            tape.reshape(y, &own.prefixed(&[1]))
        });
        let both = tape.concat(&samples, 0);
        batch(tape, both)
    });
}

#[test]
fn attention_with_projections_of_their_own() {
    agrees("cross_attention", |tape, args, _| {
        let inputs: [Var; 3] = batches(tape, args);
        let bias = args[6];
        let [q, k, v] = [0, 1, 2].map(|part| {
            let bias = tape.slice(bias, 0, 4 * part, 4 * part + 4);
            let projected = tape.linear(inputs[part], args[3 + part], Some(bias));
            tape.split_heads(projected, 2)
        });
        let mixed = tape.attention(q, k, v, AttentionOptions::default());
        let mixed = tape.join_heads(mixed);
        tape.linear(mixed, args[7], Some(args[8]))
    });
}

fn params(args: &[Var]) -> RecurrentParams {
    RecurrentParams {
        input_weight: args[0],
        hidden_weight: args[1],
        input_bias: Some(args[2]),
        hidden_bias: Some(args[3]),
    }
}

/// `[N, H]` as `[N, 1, H]`.
fn position(tape: &mut Tape, x: Var) -> Var {
    let features = tape.value(x).shape()[1];
    tape.reshape(x, &[1, features])
}

#[test]
fn recurrent_layers_with_states() {
    agrees("gru_states", |tape, args, _| {
        let [x, hidden] = batches(tape, args);
        let options = RecurrentOptions::default().hidden(Some(hidden));
        let states = tape.recurrent(x, Cell::Gru, params(&args[2..]), options);
        let last = position(tape, states.hidden);
        tape.concat(&[states.all, last], 1)
    });
    agrees("lstm_states", |tape, args, _| {
        let [x, states] = batches(tape, args);
        let [hidden, cell] = [0, 3].map(|at| Some(tape.slice(states, 1, at, at + 3)));
        let options = RecurrentOptions::default().hidden(hidden).cell(cell);
        let states = tape.recurrent(x, Cell::Lstm, params(&args[2..]), options);
        let last = [states.hidden, states.cell.unwrap()].map(|state| position(tape, state));
        tape.concat(&[states.all, last[0], last[1]], 1)
    });
    agrees("gru_reset_before", |tape, args, _| {
        let [x, hidden] = batches(tape, args);
        let options = RecurrentOptions::default().hidden(Some(hidden));
        tape.recurrent(x, Cell::GruResetBefore, params(&args[2..]), options).all
    });
}

#[test]
fn recurrent_layers_backwards_in_time() {
    // Positions in reverse, run in reverse, put back: what runs forwards.
    agrees("gru_states", |tape, args, _| {
        let [x, hidden] = batches(tape, args);
        let x = tape.flip(x, 1);
        let options = RecurrentOptions::default().hidden(Some(hidden)).reverse(true);
        let states = tape.recurrent(x, Cell::Gru, params(&args[2..]), options);
        let all = tape.flip(states.all, 1);
        let last = position(tape, states.hidden);
        tape.concat(&[all, last], 1)
    });
}

#[test]
fn norms_and_bilinear_forms() {
    agrees("bilinear", |tape, args, _| {
        let [x, z] = batches(tape, args);
        tape.bilinear(x, z, args[2], Some(args[3]))
    });
    agrees("local_response_norm_even", |tape, args, _| {
        let x = batch(tape, args[0]);
        let options = LocalResponseOptions::default().alpha(0.9).beta(0.5).k(0.7);
        tape.local_response_norm(x, 4, options)
    });
    agrees("l2_normalize", |tape, args, _| {
        let x = batch(tape, args[0]);
        tape.l2_normalize(x, 1, 1e-12)
    });
    agrees("l1_normalize", |tape, args, _| {
        let x = batch(tape, args[0]);
        tape.l1_normalize(x, 2, 1e-12)
    });
    agrees("instance_norm", |tape, args, _| {
        let x = batch(tape, args[0]);
        tape.instance_norm(x, Some(args[1]), Some(args[2]), 1e-3)
    });
    // Without weight and bias, instance norm averages over all axes but the channels'.
    agrees("instance_norm", |tape, args, _| {
        let x = batch(tape, args[0]);
        let normal = tape.mean_variance_normalize(x, &[3, 2], 1e-3);
        let [weight, bias] = [args[1], args[2]].map(|param| tape.per_channel(param, 4));
        let scaled = tape.mul(normal, weight);
        tape.add(scaled, bias)
    });
}
