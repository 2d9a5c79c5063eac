//! Convolution and pooling.

use vivit_autodiff::ops::{ConvOptions, ConvTranspose, PoolOptions};
use vivit_autodiff::{InputKind, Tape};
use vivit_tensor::{Unary, Window};

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Place};

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

/// Zeros before and behind each spatial axis.
type Pads = Vec<(usize, usize)>;

impl Call<'_> {
    /// Option `padding`: one number per axis, or the numbers before every axis and then those behind
    /// every axis; or option `auto_padding`, which makes ⌈length / stride⌉ windows.
    fn pads(
        &self,
        input: &[usize],
        span: &[usize],
        stride: &[usize],
    ) -> Result<Pads, Fault> {
        let axes = input.len();
        let mode = self.text("auto_padding", "")?;
        match mode {
            "" => {}
            "valid" => return Ok(vec![(0, 0); axes]),
            "same_upper" | "same_lower" => {
                let pad = |axis: usize| {
                    let windows = input[axis].div_ceil(stride[axis]);
                    let reach = (windows.max(1) - 1) * stride[axis] + span[axis];
                    let whole = reach.saturating_sub(input[axis]);
                    let (less, more) = (whole / 2, whole.div_ceil(2));
                    if mode == "same_upper" { (less, more) } else { (more, less) }
                };
                return Ok((0..axes).map(pad).collect());
            }
            other => fault!(
                "option \"auto_padding\" must be \"valid\", \"same_upper\" or \"same_lower\", got \
                 {other:?}"
            ),
        }
        let twice = self.ints("padding")?.is_some_and(|pads| pads.len() == 2 * axes && axes > 0);
        let pads = self.sizes("padding", if twice { 2 * axes } else { axes }, 0)?;
        Ok((0..axes).map(|axis| (pads[axis], pads[if twice { axes + axis } else { axis }])).collect())
    }

    fn spatial(&self, what: &str, shape: &[usize]) -> Result<usize, Fault> {
        ensure!(
            (3..=5).contains(&shape.len()) && !shape.contains(&0),
            "{what} needs [N, C, *] with one to three spatial axes, got {shape:?}"
        );
        Ok(shape.len() - 2)
    }

    /// Zeros (or another number) around the spatial axes.
    fn padded(&mut self, x: Array, pads: &[(usize, usize)], value: f64) -> Outcome1 {
        if pads.iter().all(|&pad| pad == (0, 0)) {
            return Ok(x);
        }
        let mut shape = self.shape(x);
        let front = shape.len() - pads.len();
        for (len, pad) in shape[front..].iter_mut().zip(pads) {
            *len = len.saturating_add(pad.0).saturating_add(pad.1);
        }
        self.recording.check_shape(&shape)?;
        let pads: Vec<(isize, isize)> =
            pads.iter().map(|&(before, behind)| (before as isize, behind as isize)).collect();
        let var = self.tape(x).constant_pad(x.var, &pads, value);
        Ok(Array { var, ..x })
    }
}

/// The padding that is the same on both sides, or none and what has to be padded first.
fn symmetric(pads: &Pads) -> (Vec<usize>, Option<&Pads>) {
    if pads.iter().all(|(before, behind)| before == behind) {
        (pads.iter().map(|&(before, _)| before).collect(), None)
    } else {
        (vec![0; pads.len()], Some(pads))
    }
}

/// Stride, dilation, groups of a convolution, all at least 1.
fn options(call: &Call<'_>, axes: usize) -> Result<ConvOptions, Fault> {
    let options = ConvOptions {
        stride: call.sizes("stride", axes, 1)?,
        padding: vec![0; axes],
        dilation: call.sizes("dilation", axes, 1)?,
        groups: call.size("groups", 1)?,
    };
    let positive = options.stride.iter().chain(&options.dilation).all(|&number| number > 0);
    ensure!(positive && options.groups > 0, "stride, dilation and groups must be at least 1");
    Ok(options)
}

fn spans(kernel: &[usize], dilation: &[usize]) -> Vec<usize> {
    kernel.iter().zip(dilation).map(|(kernel, dilation)| dilation * (kernel.max(&1) - 1) + 1).collect()
}

/// x `[N, C, *in]`, w `[O, C/groups, *kernel]`, b `[O]`, to `[N, O, *out]`.
pub(super) fn conv(call: &mut Call<'_>) -> Outcome {
    let (mut x, weight, bias) = (call.array(0)?, call.array(1)?, call.optional(2)?);
    let axes = call.spatial("a convolution", &call.shape(x))?;
    let mut options = options(call, axes)?;
    let (input, kernel) = (call.shape(x), call.shape(weight));
    ensure!(
        kernel.len() == input.len()
            && !kernel.contains(&0)
            && Some(input[1]) == kernel[1].checked_mul(options.groups)
            && kernel[0] % options.groups == 0,
        "input {input:?} and weight {kernel:?} do not fit for {} groups: [N, C, *] and [O, \
         C/groups, *kernel]",
        options.groups
    );
    let spans = spans(&kernel[2..], &options.dilation);
    let pads = call.pads(&input[2..], &spans, &options.stride)?;
    let (padding, first) = symmetric(&pads);
    if let Some(pads) = first {
        x = call.padded(x, pads, 0.0)?;
    }
    options.padding = padding;
    let input = call.shape(x);
    let window = Window::new(
        &input[2..],
        &kernel[2..],
        &options.stride,
        &options.padding,
        &options.dilation,
        false,
    )
    .map_err(|error| Fault(error.to_string()))?;
    let output = window.output[3 - axes..].to_vec();
    let shape = [&[input[0], kernel[0]], &output[..]].concat();
    call.recording.check_shape(&shape)?;
    let mut weights = Weights::new(call, weight, bias, kernel[0])?;
    // Items that the graph itself holds side by side are groups of channels of one sample.
    let items = input[0];
    if items > 1 {
        weights = weights.repeated(call, items)?;
        options.groups *= items;
    }
    let x = call.recording.per_sample(x)?;
    let flat = [&[items * input[1]], &input[2..]].concat();
    let x = call.recording.reshape(x, &flat);
    let bias = weights.bias.map(|bias| bias.var);
    let var = call.tape(x).conv(x.var, weights.weight.var, bias, &options);
    let result = call.float_of(var, x);
    one(call.recording.reshape(result, &shape))
}

/// What a convolution multiplies with and adds, on the device.
struct Weights {
    weight: Array,
    bias: Option<Array>,
}

impl Weights {
    fn new(
        call: &mut Call<'_>,
        weight: Array,
        bias: Option<Array>,
        outputs: usize,
    ) -> Result<Self, Fault> {
        for array in [Some(weight), bias].into_iter().flatten() {
            ensure!(
                !call.recording.is_batched(array),
                "a convolution's weight and bias must not depend on the input"
            );
        }
        if let Some(bias) = bias {
            let shape = call.shape(bias);
            ensure!(shape == [outputs], "the bias must have shape [{outputs}], got {shape:?}");
        }
        let weight = call.recording.upload(weight)?;
        let bias = bias.map(|bias| call.recording.upload(bias)).transpose()?;
        Ok(Weights { weight, bias })
    }

    /// The same weights for every one of `items` groups.
    fn repeated(self, call: &mut Call<'_>, items: usize) -> Result<Self, Fault> {
        let mut repeat = |array: Array| -> Outcome1 {
            let shape = call.shape(array);
            let wide = call.repeated_to(array, &[&[items], &shape[..]].concat())?;
            let joined = [&[items * shape[0]], &shape[1..]].concat();
            call.recording.check_shape(&joined)?;
            Ok(call.recording.reshape(wide, &joined))
        };
        Ok(Weights {
            weight: repeat(self.weight)?,
            bias: self.bias.map(&mut repeat).transpose()?,
        })
    }
}

/// x `[N, C, *in]`, w `[C, O/groups, *kernel]`, b `[O]`, to `[N, O, *out]`.
pub(super) fn conv_transpose(call: &mut Call<'_>) -> Outcome {
    let (x, weight, bias) = (call.array(0)?, call.array(1)?, call.optional(2)?);
    let (input, kernel) = (call.shape(x), call.shape(weight));
    let axes = call.spatial("a transposed convolution", &input)?;
    let mut options = options(call, axes)?;
    ensure!(
        kernel.len() == input.len()
            && !kernel.contains(&0)
            && input[1] == kernel[0]
            && kernel[0] % options.groups == 0,
        "input {input:?} and weight {kernel:?} do not fit for {} groups: [N, C, *] and [C, \
         O/groups, *kernel]",
        options.groups
    );
    let spans = spans(&kernel[2..], &options.dilation);
    let mut output_padding = call.sizes("output_padding", axes, 0)?;
    // Without padding; what padding there is crops this.
    let full: Vec<usize> = (0..axes)
        .map(|axis| (input[2 + axis] - 1) * options.stride[axis] + spans[axis])
        .collect();
    let pads = match call.ints("output_shape")? {
        Some(_) => {
            let wanted = call.sizes("output_shape", axes, 0)?;
            let upper = call.text("auto_padding", "")? != "same_lower";
            (0..axes)
                .map(|axis| {
                    let surplus = (full[axis] + output_padding[axis]).checked_sub(wanted[axis]);
                    let Some(surplus) = surplus else {
                        fault!("an output of {wanted:?} is larger than {full:?}, which there is")
                    };
                    let (less, more) = (surplus / 2, surplus.div_ceil(2));
                    Ok(if upper { (less, more) } else { (more, less) })
                })
                .collect::<Result<Pads, Fault>>()?
        }
        None if call.text("auto_padding", "")?.starts_with("same") => {
            let upper = call.text("auto_padding", "")? == "same_upper";
            (0..axes)
                .map(|axis| {
                    let wanted = input[2 + axis] * options.stride[axis];
                    let surplus = (full[axis] + output_padding[axis]).saturating_sub(wanted);
                    let (less, more) = (surplus / 2, surplus.div_ceil(2));
                    if upper { (less, more) } else { (more, less) }
                })
                .collect()
        }
        None => call.pads(&input[2..], &spans, &options.stride)?,
    };
    let (padding, crop) = symmetric(&pads);
    options.padding = padding;
    let groups = options.groups;
    let fits = (0..axes).all(|axis| {
        output_padding[axis] < options.stride[axis].max(options.dilation[axis])
    });
    // More output padding than the windows' distance is nothing but the bias.
    let behind = if fits { None } else { Some(std::mem::replace(&mut output_padding, vec![0; axes])) };
    let op = ConvTranspose { options: options.clone(), output_padding: output_padding.clone() };
    let Some(output) = op.output(&input[2..], &kernel[2..]) else {
        fault!("nothing is left of planes {:?} with padding {pads:?}", &input[2..])
    };
    let outputs = kernel[1] * groups;
    let shape = [&[input[0], outputs], &output[..]].concat();
    call.recording.check_shape(&shape)?;
    ensure!(behind.is_none(), "an output padding must be below the stride or the dilation");
    let mut weights = Weights::new(call, weight, bias, outputs)?;
    let items = input[0];
    if items > 1 {
        weights = weights.repeated(call, items)?;
        options.groups *= items;
    }
    let x = call.recording.per_sample(x)?;
    let flat = [&[items * input[1]], &input[2..]].concat();
    let x = call.recording.reshape(x, &flat);
    let bias = weights.bias.map(|bias| bias.var);
    let var =
        call.tape(x).conv_transpose(x.var, weights.weight.var, bias, &options, &output_padding);
    let mut result = call.float_of(var, x);
    result = call.recording.reshape(result, &shape);
    if let Some(crop) = crop {
        for (axis, &(before, after)) in crop.iter().enumerate() {
            let len = output[axis];
            ensure!(before + after < len, "nothing is left of {len} entries without {crop:?}");
            result = call.part(result, 2 + axis, before, len - after)?;
        }
    }
    one(result)
}

/// Which pooling.
#[derive(Clone, Copy, PartialEq)]
enum Pool {
    Max,
    Average,
}

impl Call<'_> {
    /// Kernel, stride, dilation of a pooling of planes, and the padding on both sides.
    fn pool_options(&self, input: &[usize]) -> Result<(PoolOptions, Pads), Fault> {
        let axes = input.len();
        let kernel = match self.ints("kernel")? {
            Some(_) => self.sizes("kernel", axes, 1)?,
            None => fault!("option \"kernel\" is missing"),
        };
        let stride = match self.ints("stride")? {
            Some(_) => self.sizes("stride", axes, 1)?,
            None => vec![1; axes],
        };
        let dilation = self.sizes("dilation", axes, 1)?;
        let positive = kernel.iter().chain(&stride).chain(&dilation).all(|&number| number > 0);
        ensure!(positive, "kernel, stride and dilation must be at least 1");
        let pads = self.pads(input, &spans(&kernel, &dilation), &stride)?;
        let ceil = self.flag("ceil", false)?;
        let count_include_pad = self.flag("count_include_pad", false)?;
        let padding = vec![0; axes];
        Ok((PoolOptions { kernel, stride, padding, dilation, ceil, count_include_pad }, pads))
    }

    fn pool(&mut self, x: Array, pool: Pool) -> Outcome1 {
        let shape = self.shape(x);
        let axes = self.spatial("a pooling", &shape)?;
        let (mut options, pads) = self.pool_options(&shape[2..])?;
        let (padding, first) = symmetric(&pads);
        options.padding = padding;
        if let Some(pads) = first {
            return self.pool_unevenly(x, options, pads, pool);
        }
        let window =
            options.window(&shape[2..]).map_err(|error| Fault(error.to_string()))?;
        let output = [&shape[..2], &window.output[3 - axes..]].concat();
        self.recording.check_shape(&output)?;
        if pool == Pool::Average && options.dilation.iter().any(|&dilation| dilation != 1) {
            fault!("average pooling with dilation is not supported");
        }
        let var = {
            let planes = self.planes(x, axes)?;
            let tape = self.tape(planes);
            match pool {
                Pool::Max => tape.max_pool(planes.var, &options),
                Pool::Average => tape.avg_pool(planes.var, &options),
            }
        };
        let result = Array { var, place: Place::Device, kind: InputKind::Float, turned: false };
        Ok(self.recording.reshape(result, &output))
    }

    /// All planes of a sample side by side, `[C, *in]`.
    fn planes(&mut self, x: Array, axes: usize) -> Outcome1 {
        let x = self.recording.per_sample(x)?;
        let shape = self.shape(x);
        let front = shape.len() - axes;
        let flat = [&[shape[..front].iter().product()], &shape[front..]].concat();
        Ok(self.recording.reshape(x, &flat))
    }

    /// With other padding behind than before: padded first; an average that does not count the
    /// padding is the quotient of two that do.
    fn pool_unevenly(
        &mut self,
        x: Array,
        options: PoolOptions,
        pads: &Pads,
        pool: Pool,
    ) -> Outcome1 {
        let shape = self.shape(x);
        let axes = shape.len() - 2;
        let value = if pool == Pool::Max { f64::NEG_INFINITY } else { 0.0 };
        let counted = PoolOptions { count_include_pad: true, ..options.clone() };
        let run = |call: &mut Self, x: Array| -> Outcome1 {
            let padded = call.padded(x, pads, value)?;
            let planes = call.planes(padded, axes)?;
            let lens = call.shape(planes)[1..].to_vec();
            let window = counted.window(&lens).map_err(|error| Fault(error.to_string()))?;
            let front = &call.shape(x)[..2];
            let output = [front, &window.output[3 - axes..]].concat();
            let tape = call.tape(planes);
            let var = match pool {
                Pool::Max => tape.max_pool(planes.var, &counted),
                Pool::Average => tape.avg_pool(planes.var, &counted),
            };
            let result = call.float_of(var, planes);
            Ok(call.recording.reshape(result, &output))
        };
        ensure!(
            !(options.ceil && pool == Pool::Average),
            "average pooling with other padding behind than before and with ceil is not supported"
        );
        let x = self.recording.upload(x)?;
        let result = run(self, x)?;
        if pool == Pool::Max || options.count_include_pad {
            return Ok(result);
        }
        let ones = self.recording.host_array(&[], vec![1.0], InputKind::Float)?;
        let ones = self.repeated_to(ones, &[&[1, 1], &shape[2..]].concat())?;
        let share = run(self, ones)?;
        self.pair(result, share, Tape::div)
    }
}

/// The largest entry of each window.
pub(super) fn max_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    ensure!(
        call.node.outputs.get(1).is_none_or(String::is_empty),
        "the places of the maxima are not computed"
    );
    one(call.pool(x, Pool::Max)?)
}

/// The mean of each window.
pub(super) fn avg_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    one(call.pool(x, Pool::Average)?)
}

/// The norm of each window, p 1 or 2.
pub(super) fn lp_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let p = call.int("p", 2)?;
    let powers = match p {
        1 => call.map(Unary::Abs, x),
        2 => call.map(Unary::Square, x),
        p => fault!("option \"p\" must be 1 or 2, got {p}"),
    };
    ensure!(!call.flag("ceil", false)?, "pooling norms with ceil is not supported");
    let shape = call.shape(x);
    let (options, pads) = call.pool_options(&shape[2.min(shape.len())..])?;
    let entries: usize = options.kernel.iter().product();
    let padded = call.padded(powers, &pads, 0.0)?;
    let axes = call.spatial("a pooling", &shape)?;
    let planes = call.planes(padded, axes)?;
    let lens = call.shape(planes)[1..].to_vec();
    let window = options.window(&lens).map_err(|error| Fault(error.to_string()))?;
    let output = [&shape[..2], &window.output[3 - axes..]].concat();
    let var = call.tape(planes).avg_pool(planes.var, &options);
    let mean = call.float_of(var, planes);
    let mean = call.recording.reshape(mean, &output);
    let sum = call.map(Unary::Scale(entries as f64), mean);
    one(if p == 2 { call.map(Unary::Sqrt, sum) } else { sum })
}

/// Means of `output` windows that cover each plane evenly.
pub(super) fn adaptive_avg_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let axes = call.spatial("a pooling", &shape)?;
    let output = call.sizes("output", axes, 1)?;
    ensure!(!output.contains(&0), "option \"output\" must be at least 1 along every axis");
    let planes = call.planes(x, axes)?;
    let var = call.tape(planes).adaptive_avg_pool(planes.var, &output);
    let result = call.float_of(var, planes);
    one(call.recording.reshape(result, &[&shape[..2], &output[..]].concat()))
}
