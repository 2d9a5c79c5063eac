//! Layers of networks.

use serde_json::Value;

use crate::convert::{Convert, Outcome, named};

type Options = Vec<(&'static str, Value)>;

/// Geometry of windows: strides, paddings, dilations.
fn windows(c: &Convert<'_>) -> Result<Options, String> {
    let mut options = Options::new();
    for (from, to) in [("strides", "stride"), ("pads", "padding"), ("dilations", "dilation")] {
        if let Some(numbers) = c.ints(from)? {
            options.push((to, numbers.into()));
        }
    }
    match c.text("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" => {}
        "VALID" => options.push(("auto_padding", "valid".into())),
        "SAME_UPPER" => options.push(("auto_padding", "same_upper".into())),
        "SAME_LOWER" => options.push(("auto_padding", "same_lower".into())),
        other => return Err(format!("attribute auto_pad = {other:?} is not supported")),
    }
    Ok(options)
}

pub(super) fn conv(c: &mut Convert<'_>) -> Outcome {
    let mut options = windows(c)?;
    // The weight has this shape.
    c.pass_over("kernel_shape");
    options.push(("groups", c.int("group", 1)?.into()));
    c.same("conv", &options)
}

pub(super) fn conv_transpose(c: &mut Convert<'_>) -> Outcome {
    let mut options = windows(c)?;
    c.pass_over("kernel_shape");
    options.push(("groups", c.int("group", 1)?.into()));
    for name in ["output_padding", "output_shape"] {
        if let Some(numbers) = c.ints(name)? {
            options.push((name, numbers.into()));
        }
    }
    c.same("conv_transpose", &options)
}

pub(super) fn pool(c: &mut Convert<'_>) -> Outcome {
    let mut options = windows(c)?;
    let Some(kernel) = c.ints("kernel_shape")? else {
        return Err("attribute kernel_shape is missing".into());
    };
    options.push(("kernel", kernel.into()));
    options.push(("ceil", c.flag("ceil_mode", false)?.into()));
    match c.node.op_type.as_str() {
        "MaxPool" => {
            c.only_int("storage_order", 0)?;
            c.same("max_pool", &options)
        }
        "AveragePool" => {
            options.push(("count_include_pad", c.flag("count_include_pad", false)?.into()));
            c.same("avg_pool", &options)
        }
        _ => {
            options.push(("p", c.int("p", 2)?.into()));
            c.same("lp_pool", &options)
        }
    }
}

pub(super) fn global(c: &mut Convert<'_>) -> Outcome {
    match c.node.op_type.as_str() {
        "GlobalAveragePool" => c.same("global_avg_pool", &[]),
        "GlobalMaxPool" => c.same("global_max_pool", &[]),
        _ => {
            let p = c.int("p", 2)?;
            c.same("global_lp_pool", &[("p", p.into())])
        }
    }
}

fn epsilon(c: &Convert<'_>) -> Result<(&'static str, Value), String> {
    Ok(("epsilon", c.float("epsilon", 1e-5)?.into()))
}

pub(super) fn batch_norm(c: &mut Convert<'_>) -> Outcome {
    if c.flag("training_mode", false)? {
        return Err("batch norm in training mode mixes samples; export the model in evaluation \
                    mode (`model.eval()`)"
            .into());
    }
    c.pass_over("momentum");
    let epsilon = epsilon(c)?;
    c.same("batch_norm", &[epsilon])
}

pub(super) fn dropout(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("seed");
    c.pass_over("ratio");
    c.same("dropout", &[])
}

pub(super) fn layer_norm(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("stash_type");
    let (axis, (name, epsilon)) = (c.int("axis", -1)?, epsilon(c)?);
    let node = c.last("layer_norm", c.all_arguments()).giving(c.node.output.clone());
    c.emit(node.with("axis", axis).with(name, epsilon));
    Ok(())
}

pub(super) fn rms_norm(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("stash_type");
    let options = [("axis", c.int("axis", -1)?.into()), epsilon(c)?];
    c.same("rms_norm", &options)
}

pub(super) fn instance_norm(c: &mut Convert<'_>) -> Outcome {
    let epsilon = epsilon(c)?;
    c.same("instance_norm", &[epsilon])
}

/// Until version 21 scale and bias had one number per group.
pub(super) fn group_norm(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("stash_type");
    let (groups, epsilon) = (c.int("num_groups", 1)?, epsilon(c)?);
    if c.opset >= 21 {
        return c.same("group_norm", &[("groups", groups.into()), epsilon]);
    }
    c.only_outputs(1)?;
    let normal = c.step("group_norm", c.arguments(1), &[("groups", groups.into()), epsilon]);
    let rows = c.step("reshape", vec![Some(normal.into()), Some(vec![0, groups, -1].into())], &[]);
    let mut part =
        |at: usize| c.step("reshape", vec![c.argument(at), Some(vec![groups, 1].into())], &[]);
    let (scale, bias) = (part(1), part(2));
    let scaled = c.step("mul", named(&[&rows, &scale]), &[]);
    let shifted = c.step("add", named(&[&scaled, &bias]), &[]);
    let shape = c.step("shape", c.arguments(1), &[]);
    let node = c.last("reshape", named(&[&shifted, &shape]));
    c.emit(node);
    Ok(())
}

pub(super) fn local_response_norm(c: &mut Convert<'_>) -> Outcome {
    let options = [
        ("size", c.int("size", 1)?.into()),
        ("alpha", c.float("alpha", 1e-4)?.into()),
        ("beta", c.float("beta", 0.75)?.into()),
        ("k", c.float("bias", 1.0)?.into()),
    ];
    c.same("local_response_norm", &options)
}

pub(super) fn lp_normalize(c: &mut Convert<'_>) -> Outcome {
    let options = [("axis", c.int("axis", -1)?.into()), ("p", c.int("p", 2)?.into())];
    c.same("lp_normalize", &options)
}

pub(super) fn mean_variance(c: &mut Convert<'_>) -> Outcome {
    let axes = c.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    c.same("mean_variance_normalize", &[("axes", axes.into())])
}

pub(super) fn einsum(c: &mut Convert<'_>) -> Outcome {
    let equation = c.text("equation", "")?;
    c.same("einsum", &[("equation", equation.into())])
}

pub(super) fn gemm(c: &mut Convert<'_>) -> Outcome {
    let options = [
        ("alpha", c.float("alpha", 1.0)?.into()),
        ("beta", c.float("beta", 1.0)?.into()),
        ("transposed_a", c.flag("transA", false)?.into()),
        ("transposed_b", c.flag("transB", false)?.into()),
    ];
    c.same("gemm", &options)
}

/// A recurrent layer, with the places of its gates in ONNX's weights.
fn recurrent(c: &mut Convert<'_>, cell: &str, gates: &[i64]) -> Outcome {
    c.pass_over("hidden_size");
    for name in ["activation_alpha", "activation_beta", "clip"] {
        if c.optional_float(name).is_err() || c.optional_float(name)?.is_some() {
            return Err(format!("attribute {name} is not supported"));
        }
    }
    if c.has_input(4) {
        return Err("sequences of several lengths are not supported".into());
    }
    c.only_inputs(if cell == "lstm" { 7 } else { 6 })?;
    let direction = c.text("direction", "forward")?;
    let batch_first = c.flag("layout", false)?;
    let bias = match c.has_input(3) {
        true => {
            let whole = vec![c.argument(3), Some(vec![0, 2, -1].into())];
            Some(c.step("reshape", whole, &[]).into())
        }
        false => None,
    };
    // States are `[D, N, H]`, with the batch in front `[N, D, H]`.
    let mut states = Vec::new();
    for at in [5, 6].into_iter().take(if cell == "lstm" { 2 } else { 1 }) {
        states.push(match (c.argument(at), batch_first) {
            (Some(state), true) => {
                let order: Value = vec![1, 0, 2].into();
                Some(c.step("transpose", vec![Some(state)], &[("order", order)]).into())
            }
            (state, _) => state,
        });
    }
    let mut inputs = vec![c.argument(0), c.argument(1), c.argument(2), bias];
    inputs.extend(states);
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    let (all, hidden, cells) = (c.temporary(), c.temporary(), c.temporary());
    let mut results = vec![all.clone(), hidden.clone()];
    if cell == "lstm" {
        results.push(cells.clone());
    }
    let node = c
        .last("recurrent", inputs)
        .giving(results)
        .with("cell", cell)
        .with("direction", direction)
        .with("gates", gates.to_vec())
        .with("time_major", !batch_first);
    c.emit(node);
    // `[N, T, D, H]` to `[T, D, N, H]` or `[N, T, D, H]`.
    let outputs = [(0, all), (1, hidden), (2, cells)];
    for (at, result) in outputs {
        let name = c.output(at);
        if name.is_empty() {
            continue;
        }
        let order = match (at, batch_first) {
            (0, false) => Some(vec![1, 2, 0, 3]),
            (0, true) | (_, false) => None,
            (_, true) => Some(vec![1, 0, 2]),
        };
        let inputs = named(&[&result]);
        let node = match order {
            Some(order) => c.last("transpose", inputs).with("order", order),
            None => c.last("identity", inputs),
        };
        c.emit(node.giving(vec![name]));
    }
    Ok(())
}

/// Activations of all directions, in lower case.
fn activations(c: &Convert<'_>) -> Result<Option<Vec<String>>, String> {
    let given = c.texts("activations")?;
    Ok(given.map(|given| given.iter().map(|name| name.to_lowercase()).collect()))
}

fn default_activations(c: &Convert<'_>, default: &[&str]) -> Outcome {
    match activations(c)? {
        Some(given) if !given.chunks(default.len()).all(|chunk| chunk == default) => {
            Err(format!("activations {given:?} are not supported, only {default:?}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn lstm(c: &mut Convert<'_>) -> Outcome {
    default_activations(c, &["sigmoid", "tanh", "tanh"])?;
    c.only_int("input_forget", 0)?;
    // ONNX: i, o, f, c.
    recurrent(c, "lstm", &[0, 2, 3, 1])
}

pub(super) fn gru(c: &mut Convert<'_>) -> Outcome {
    default_activations(c, &["sigmoid", "tanh"])?;
    let after = c.flag("linear_before_reset", false)?;
    // ONNX: z, r, h.
    recurrent(c, if after { "gru" } else { "gru_reset_before" }, &[1, 0, 2])
}

pub(super) fn rnn(c: &mut Convert<'_>) -> Outcome {
    let given = activations(c)?.unwrap_or_else(|| vec!["tanh".into()]);
    let cell = match given.first().map(String::as_str) {
        Some("tanh") => "rnn",
        Some("relu") => "rnn_relu",
        _ => return Err(format!("activations {given:?} are not supported")),
    };
    if given.iter().any(|name| *name != given[0]) {
        return Err(format!("different activations {given:?} are not supported"));
    }
    recurrent(c, cell, &[0])
}

pub(super) fn attention(c: &mut Convert<'_>) -> Outcome {
    c.only_inputs(4)?;
    c.only_outputs(1)?;
    c.pass_over("softmax_precision");
    c.pass_over("qk_matmul_output_mode");
    let heads = [c.optional_int("q_num_heads")?, c.optional_int("kv_num_heads")?];
    let mut options: Options = vec![("causal", c.flag("is_causal", false)?.into())];
    if let Some(scale) = c.optional_float("scale")? {
        options.push(("scale", scale.into()));
    }
    let cap = c.float("softcap", 0.0)?;
    if cap != 0.0 {
        options.push(("soft_cap", cap.into()));
    }
    let [Some(queries), Some(keys)] = heads else {
        return c.same("attention", &options);
    };
    // `[N, T, H·d]` to `[N, H, T, d]` and back.
    let mut split = |at: usize, heads: i64| {
        let shape = vec![c.argument(at), Some(vec![0, 0, heads, -1].into())];
        let parts = c.step("reshape", shape, &[]);
        c.step("transpose", named(&[&parts]), &[("order", vec![0, 2, 1, 3].into())])
    };
    let [q, k, v] = [split(0, queries), split(1, keys), split(2, keys)];
    let mut inputs = named(&[&q, &k, &v]);
    if c.has_input(3) {
        inputs.push(c.argument(3));
    }
    let mixed = c.step("attention", inputs, &options);
    let turned = c.step("transpose", named(&[&mixed]), &[("order", vec![0, 2, 1, 3].into())]);
    let shape = vec![Some(turned.into()), Some(vec![0, 0, -1].into())];
    let node = c.last("reshape", shape);
    c.emit(node);
    Ok(())
}

pub(super) fn rotary(c: &mut Convert<'_>) -> Outcome {
    let options = [
        ("interleaved", c.flag("interleaved", false)?.into()),
        ("heads", c.int("num_heads", 0)?.into()),
        ("rotated", c.int("rotary_embedding_dim", 0)?.into()),
    ];
    c.same("rotary", &options)
}
