//! From descriptions to layers: one arm per op.

use serde_json::Value;
use vivit_autodiff::ops::PoolOptions;
use vivit_tensor::Unary;

use super::{DescriptionError, DescriptionProblem, Options, shown};
use crate::{
    Activation, AvgPool, BatchNorm, Cell, Conv, ConvTranspose, Dropout, Embedding, Flatten,
    GroupNorm, Join, Layer, LayerNorm, Linear, MaxPool, PositionalEmbedding, Recurrent, RmsNorm,
    SelfAttention, adaptive_avg_pool, branches, log_softmax, mean_over, permute, residual, shared,
    softmax, sum_over, zero_pad,
};

type Boxed = Box<dyn Layer>;

/// The layers of a description.
///
/// # Errors
/// If it is no list of layers, or a layer's op or options are not what they must be, with the
/// layer's path.
///
/// # Examples
/// ```
/// use vivit_nn::description;
///
/// let text = r#"[{"op": "linear", "in": 4, "out": 4}, {"op": "residual", "body": [{"op": "linear", "in": 4}]}]"#;
/// let error = description::layers(&description::parse(text)?).unwrap_err();
/// assert_eq!(error.path, "1.body.0");
/// assert!(error.to_string().contains("linear needs the option \"out\""));
/// # Ok::<(), vivit_nn::description::DescriptionError>(())
/// ```
pub fn layers(description: &Value) -> Result<Vec<Box<dyn Layer>>, DescriptionError> {
    let not_a_list =
        || DescriptionError::new(DescriptionProblem::NotAList { got: shown(description) });
    let list = description.as_array().ok_or_else(not_a_list)?;
    let numbered = list.iter().enumerate();
    numbered
        .map(|(at, entry)| layer(entry).map_err(|error| error.inside(&at.to_string())))
        .collect()
}

fn layer(entry: &Value) -> Result<Boxed, DescriptionError> {
    let o = Options::of(entry)?;
    let axes = spatial_axes(o.op());
    Ok(match o.op() {
        "linear" => {
            o.only(&["in", "out", "bias"])?;
            Box::new(Linear {
                inputs: o.size("in")?,
                outputs: o.size("out")?,
                bias: o.flag("bias", true)?,
            })
        }
        "conv1d" => conv::<1>(o)?,
        "conv2d" => conv::<2>(o)?,
        "conv3d" => conv::<3>(o)?,
        "conv_transpose1d" => conv_transpose::<1>(o)?,
        "conv_transpose2d" => conv_transpose::<2>(o)?,
        "conv_transpose3d" => conv_transpose::<3>(o)?,
        "max_pool1d" | "max_pool2d" | "max_pool3d" => {
            o.only(&["kernel", "stride", "padding", "dilation", "ceil"])?;
            Box::new(MaxPool(pool(o, axes)?))
        }
        "avg_pool1d" | "avg_pool2d" | "avg_pool3d" => {
            o.only(&["kernel", "stride", "padding", "ceil", "count_include_pad"])?;
            Box::new(AvgPool(pool(o, axes)?))
        }
        "adaptive_avg_pool1d" | "adaptive_avg_pool2d" | "adaptive_avg_pool3d" => {
            o.only(&["output"])?;
            adaptive_avg_pool(&o.per_axis("output", axes)?)
        }
        "zero_pad1d" | "zero_pad2d" | "zero_pad3d" => {
            o.only(&["padding"])?;
            // PyTorch's order: the last axis first.
            let list = o.offsets("padding", 2 * axes)?;
            let pads: Vec<(isize, isize)> =
                list.chunks(2).rev().map(|pair| (pair[0], pair[1])).collect();
            zero_pad(&pads)
        }
        "dropout" => {
            o.only(&["p"])?;
            Box::new(Dropout { p: o.number("p", 0.5)? })
        }
        "softmax" | "log_softmax" | "mean" | "sum" => {
            o.only(&["axis"])?;
            let along = match o.op() {
                "softmax" => softmax,
                "log_softmax" => log_softmax,
                "mean" => mean_over,
                _ => sum_over,
            };
            along(o.size("axis")?)
        }
        "permute" => {
            o.only(&["axes"])?;
            permute(&o.sizes("axes")?)
        }
        "flatten" => {
            o.only(&["start"])?;
            Box::new(Flatten { start: o.size_or("start", 1)? })
        }
        "batch_norm" | "batch_norm1d" | "batch_norm2d" | "batch_norm3d" => {
            o.only(&["features", "eps", "momentum", "affine"])?;
            let norm = BatchNorm::new(o.size("features")?);
            Box::new(BatchNorm {
                axes: (axes > 0).then_some(axes),
                epsilon: o.number("eps", norm.epsilon)?,
                momentum: o.number("momentum", norm.momentum)?,
                affine: o.flag("affine", norm.affine)?,
                ..norm
            })
        }
        "layer_norm" => {
            o.only(&["shape", "eps", "affine", "weight", "bias"])?;
            let affine = o.flag("affine", true)?;
            Box::new(LayerNorm {
                shape: o.sizes("shape")?,
                epsilon: o.number("eps", 1e-5)?,
                weight: affine && o.flag("weight", true)?,
                bias: affine && o.flag("bias", true)?,
            })
        }
        "group_norm" => {
            o.only(&["groups", "channels", "eps", "affine"])?;
            let (groups, channels) = (o.size("groups")?, o.size("channels")?);
            Box::new(GroupNorm {
                groups,
                channels,
                epsilon: o.number("eps", 1e-5)?,
                affine: o.flag("affine", true)?,
            })
        }
        "rms_norm" => {
            o.only(&["features", "eps"])?;
            Box::new(RmsNorm { features: o.size("features")?, epsilon: o.number("eps", 1e-6)? })
        }
        "embedding" => {
            o.only(&["vocabulary", "features"])?;
            Box::new(Embedding { vocabulary: o.size("vocabulary")?, features: o.size("features")? })
        }
        "positional_embedding" => {
            o.only(&["positions", "features"])?;
            Box::new(PositionalEmbedding {
                positions: o.size("positions")?,
                features: o.size("features")?,
            })
        }
        "self_attention" => {
            o.only(&["features", "heads", "causal", "bias"])?;
            let (features, heads) = (o.size("features")?, o.size("heads")?);
            Box::new(SelfAttention {
                features,
                heads,
                causal: o.flag("causal", false)?,
                bias: o.flag("bias", true)?,
            })
        }
        "rnn" | "lstm" => {
            o.only(&["in", "hidden", "bias"])?;
            let cell = if o.op() == "rnn" { Cell::Rnn } else { Cell::Lstm };
            Box::new(Recurrent {
                cell,
                inputs: o.size("in")?,
                hidden: o.size("hidden")?,
                bias: o.flag("bias", true)?,
            })
        }
        "residual" => {
            o.only(&["body"])?;
            residual(layers(o.required("body")?).map_err(|error| error.inside("body"))?)
        }
        "branches" => {
            o.only(&["rows", "concat"])?;
            let rows = o.required("rows")?;
            let list = rows
                .as_array()
                .ok_or_else(|| o.invalid("rows", "a list of lists of layers", rows))?;
            let row = |(at, row)| layers(row).map_err(|error| error.inside(&usize::to_string(&at)));
            let join =
                if o.get("concat").is_some() { Join::Concat(o.size("concat")?) } else { Join::Sum };
            branches(list.iter().enumerate().map(row).collect::<Result<_, _>>()?, join)
        }
        "shared" => {
            o.only(&["layer"])?;
            shared(o.size("layer")?)
        }
        _ => Box::new(Activation(activation(o)?)),
    })
}

/// The 2 of `conv2d`; 0 for ops without spatial axes.
fn spatial_axes(op: &str) -> usize {
    match op.as_bytes() {
        [.., axes @ b'1'..=b'3', b'd'] => usize::from(axes - b'0'),
        _ => 0,
    }
}

fn activation(o: Options<'_>) -> Result<Unary, DescriptionError> {
    let plain = |unary| o.only(&[]).map(|()| unary);
    match o.op() {
        "relu" => plain(Unary::Relu),
        "sigmoid" => plain(Unary::Sigmoid),
        "tanh" => plain(Unary::Tanh),
        "selu" => plain(Unary::Selu),
        "log_sigmoid" => plain(Unary::LogSigmoid),
        "silu" => plain(Unary::Silu),
        "gelu" => plain(Unary::Gelu),
        "gelu_tanh" => plain(Unary::GeluTanh),
        "leaky_relu" => {
            o.only(&["slope"])?;
            Ok(Unary::LeakyRelu(o.number("slope", 0.01)?))
        }
        "elu" => {
            o.only(&["alpha"])?;
            Ok(Unary::Elu(o.number("alpha", 1.0)?))
        }
        "softplus" => {
            o.only(&["beta"])?;
            Ok(Unary::Softplus(o.number("beta", 1.0)?))
        }
        "hard_tanh" => {
            o.only(&["min", "max"])?;
            Ok(Unary::HardTanh(o.number("min", -1.0)?, o.number("max", 1.0)?))
        }
        other => Err(DescriptionError::new(DescriptionProblem::UnknownOp { op: other.into() })),
    }
}

const CONV: [&str; 8] = ["in", "out", "kernel", "stride", "padding", "dilation", "groups", "bias"];

fn conv<const R: usize>(o: Options<'_>) -> Result<Boxed, DescriptionError> {
    o.only(&CONV)?;
    Ok(Box::new(conv_options::<R>(o)?))
}

fn conv_transpose<const R: usize>(o: Options<'_>) -> Result<Boxed, DescriptionError> {
    o.only(&[&CONV[..], &["output_padding"]].concat())?;
    let output_padding = fixed(o.per_axis_or("output_padding", R, 0)?);
    Ok(Box::new(ConvTranspose { conv: conv_options::<R>(o)?, output_padding }))
}

fn conv_options<const R: usize>(o: Options<'_>) -> Result<Conv<R>, DescriptionError> {
    Ok(Conv {
        inputs: o.size("in")?,
        outputs: o.size("out")?,
        kernel: fixed(o.per_axis("kernel", R)?),
        stride: fixed(o.per_axis_or("stride", R, 1)?),
        padding: fixed(o.per_axis_or("padding", R, 0)?),
        dilation: fixed(o.per_axis_or("dilation", R, 1)?),
        groups: o.size_or("groups", 1)?,
        bias: o.flag("bias", true)?,
    })
}

fn fixed<const R: usize>(list: Vec<usize>) -> [usize; R] {
    list.try_into().expect("one entry per axis")
}

fn pool(o: Options<'_>, axes: usize) -> Result<PoolOptions, DescriptionError> {
    let kernel = o.per_axis("kernel", axes)?;
    Ok(PoolOptions {
        stride: if o.get("stride").is_some() {
            o.per_axis("stride", axes)?
        } else {
            kernel.clone()
        },
        padding: o.per_axis_or("padding", axes, 0)?,
        dilation: o.per_axis_or("dilation", axes, 1)?,
        ceil: o.flag("ceil", false)?,
        count_include_pad: o.flag("count_include_pad", true)?,
        kernel,
    })
}
