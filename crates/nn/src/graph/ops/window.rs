//! Convolution and pooling.

use std::ops::Range;

use vivit_autodiff::ops::{ConvOptions, ConvTranspose, PoolOptions};
use vivit_autodiff::{InputKind, Tape};
use vivit_tensor::Window;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::Array;

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

/// Zeros before and behind each spatial axis.
type Pads = Vec<(usize, usize)>;

impl Call<'_> {
    /// Option `padding`: one number per axis, or the numbers before every axis and then those
    /// behind every axis; or option `auto_padding`, which makes ⌈length / stride⌉ windows.
    fn pads(&self, input: &[usize], span: &[usize], stride: &[usize]) -> Result<Pads, Fault> {
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
        Ok((0..axes)
            .map(|axis| (pads[axis], pads[if twice { axes + axis } else { axis }]))
            .collect())
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
    kernel
        .iter()
        .zip(dilation)
        .map(|(kernel, dilation)| dilation * (kernel.max(&1) - 1) + 1)
        .collect()
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
        Ok(Weights { weight: repeat(self.weight)?, bias: self.bias.map(&mut repeat).transpose()? })
    }
}

/// What is cut off at both ends (below zero: added), the odd one at the upper end or the lower.
fn halves(surplus: i64, upper: bool) -> (i64, i64) {
    let less = surplus.div_euclid(2);
    if upper { (less, surplus - less) } else { (surplus - less, less) }
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
    let full: Vec<usize> =
        (0..axes).map(|axis| (input[2 + axis] - 1) * options.stride[axis] + spans[axis]).collect();
    let pads: Vec<(i64, i64)> = match call.ints("output_shape")? {
        Some(_) => {
            let wanted = call.sizes("output_shape", axes, 0)?;
            let upper = call.text("auto_padding", "")? == "same_upper";
            (0..axes)
                .map(|axis| {
                    halves((full[axis] + output_padding[axis]) as i64 - wanted[axis] as i64, upper)
                })
                .collect()
        }
        None if call.text("auto_padding", "")?.starts_with("same") => {
            let upper = call.text("auto_padding", "")? == "same_upper";
            (0..axes)
                .map(|axis| {
                    let wanted = input[2 + axis] * options.stride[axis];
                    halves((full[axis] + output_padding[axis]) as i64 - wanted as i64, upper)
                })
                .collect()
        }
        None => {
            let pads = call.pads(&input[2..], &spans, &options.stride)?;
            pads.into_iter().map(|(before, behind)| (before as i64, behind as i64)).collect()
        }
    };
    let groups = options.groups;
    let outputs = kernel[1] * groups;
    let fits = (0..axes)
        .all(|axis| output_padding[axis] < options.stride[axis].max(options.dilation[axis]));
    let even = pads.iter().all(|(before, behind)| before == behind && *before >= 0);
    // What can't be said to the operation is cut out of, or added to, the unpadded result.
    let (mut frame, mut after) = (None, None);
    if fits && even {
        options.padding = pads.iter().map(|&(before, _)| before as usize).collect();
    } else {
        let behind = |axis: usize| output_padding[axis] as i64 - pads[axis].1;
        frame = Some((0..axes).map(|axis| [-pads[axis].0, behind(axis)]).collect::<Vec<_>>());
        output_padding = vec![0; axes];
        after = bias;
    }
    let op = ConvTranspose { options: options.clone(), output_padding: output_padding.clone() };
    let Some(output) = op.output(&input[2..], &kernel[2..]) else {
        fault!("nothing is left of planes {:?} with padding {pads:?}", &input[2..])
    };
    let shape = [&[input[0], outputs], &output[..]].concat();
    call.recording.check_shape(&shape)?;
    let own_bias = if after.is_some() { None } else { bias };
    let mut weights = Weights::new(call, weight, own_bias, outputs)?;
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
    for (axis, &ends) in frame.iter().flatten().enumerate() {
        result = call.padded_axis(result, 2 + axis, ends, "constant", 0.0)?;
    }
    if let Some(bias) = after {
        let shape = call.shape(bias);
        ensure!(shape == [outputs], "the bias must have shape [{outputs}], got {shape:?}");
        let thin: Vec<usize> = [outputs].into_iter().chain(vec![1; axes]).collect();
        let bias = call.recording.reshape(bias, &thin);
        result = call.pair(result, bias, Tape::add)?;
    }
    one(result)
}

/// Kernel, stride, dilation and padding of a pooling of planes.
struct Windows {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    pads: Pads,
    ceil: bool,
    count_include_pad: bool,
}

impl Windows {
    fn new(call: &Call<'_>, input: &[usize]) -> Result<Self, Fault> {
        let axes = input.len();
        let kernel = match call.ints("kernel")? {
            Some(_) => call.sizes("kernel", axes, 1)?,
            None => fault!("option \"kernel\" is missing"),
        };
        let (stride, dilation) = (call.sizes("stride", axes, 1)?, call.sizes("dilation", axes, 1)?);
        let positive = kernel.iter().chain(&stride).chain(&dilation).all(|&number| number > 0);
        ensure!(positive, "kernel, stride and dilation must be at least 1");
        let pads = call.pads(input, &spans(&kernel, &dilation), &stride)?;
        let ceil = call.flag("ceil", false)?;
        let count_include_pad =
            call.node.op == "avg_pool" && call.flag("count_include_pad", false)?;
        Ok(Windows { kernel, stride, dilation, pads, ceil, count_include_pad })
    }

    /// As the tape's poolings take them, where the padding is the same on both sides.
    fn options(&self) -> Option<PoolOptions> {
        let even = self.pads.iter().all(|(before, behind)| before == behind);
        even.then(|| PoolOptions {
            kernel: self.kernel.clone(),
            stride: self.stride.clone(),
            padding: self.pads.iter().map(|&(before, _)| before).collect(),
            dilation: self.dilation.clone(),
            ceil: self.ceil,
            count_include_pad: self.count_include_pad,
        })
    }

    /// Number of windows along every axis: those that fit, and with `ceil` one more that starts
    /// inside the input or its front padding.
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, Fault> {
        let spans = spans(&self.kernel, &self.dilation);
        let windows = |axis: usize| {
            let (before, behind) = self.pads[axis];
            let (span, stride) = (spans[axis], self.stride[axis]);
            let padded = input[axis] + before + behind;
            let Some(room) = padded.checked_sub(span) else {
                fault!("along spatial axis {axis} the kernel spans {span} of {padded} entries")
            };
            let windows = room / stride + 1;
            let more = self.ceil && room % stride != 0 && windows * stride < input[axis] + before;
            Ok(windows + usize::from(more))
        };
        (0..input.len()).map(windows).collect()
    }

    /// The padding with which exactly the windows of `output` fit.
    fn reach(&self, input: &[usize], output: &[usize]) -> Pads {
        let spans = spans(&self.kernel, &self.dilation);
        let end = |axis: usize| {
            let before = self.pads[axis].0;
            let needed = (output[axis] - 1) * self.stride[axis] + spans[axis];
            (before, needed.saturating_sub(before + input[axis]))
        };
        (0..input.len()).map(end).collect()
    }

    /// How many entries of a range a window sees along an axis, counted from the padding on.
    fn seen(&self, axis: usize, window: usize, range: &Range<usize>) -> usize {
        let first = window * self.stride[axis];
        let entries = (0..self.kernel[axis]).map(|at| first + at * self.dilation[axis]);
        entries.filter(|at| range.contains(at)).count()
    }

    /// Refuses windows that see nothing but padding.
    fn check_seen(&self, input: &[usize], output: &[usize]) -> Result<(), Fault> {
        for axis in 0..input.len() {
            let before = self.pads[axis].0;
            let own = before..before + input[axis];
            let blind = (0..output[axis]).find(|&window| self.seen(axis, window, &own) == 0);
            if let Some(window) = blind {
                fault!("window {window} along spatial axis {axis} sees nothing but padding");
            }
        }
        Ok(())
    }

    /// How many entries count in every window.
    fn counts(&self, input: &[usize], output: &[usize]) -> Vec<f64> {
        let along = |axis: usize| -> Vec<f64> {
            let (before, behind) = self.pads[axis];
            let counted = if self.count_include_pad {
                0..before + input[axis] + behind
            } else {
                before..before + input[axis]
            };
            let counts = (0..output[axis]).map(|window| self.seen(axis, window, &counted));
            counts.map(|count| count as f64).collect()
        };
        (0..input.len()).map(along).fold(vec![1.0], |whole, axis| {
            whole.iter().flat_map(|a| axis.iter().map(move |b| a * b)).collect()
        })
    }
}

impl Call<'_> {
    /// All planes of a sample side by side, `[C, *in]`.
    fn planes(&mut self, x: Array, axes: usize) -> Outcome1 {
        let x = self.recording.per_sample(x)?;
        let shape = self.shape(x);
        let front = shape.len() - axes;
        let flat = [&[shape[..front].iter().product()], &shape[front..]].concat();
        Ok(self.recording.reshape(x, &flat))
    }

    /// x, the windows over its planes, and the result's shape.
    fn pooled(&mut self) -> Result<(Array, Windows, Vec<usize>), Fault> {
        let x = self.array(0)?;
        let shape = self.shape(x);
        self.spatial("a pooling", &shape)?;
        let windows = Windows::new(self, &shape[2..])?;
        let output = [&shape[..2], &windows.output(&shape[2..])?[..]].concat();
        self.recording.check_shape(&output)?;
        Ok((x, windows, output))
    }

    /// The sum of every window, as a convolution with ones: for windows that the tape's poolings do
    /// not know.
    fn window_sums(&mut self, x: Array, windows: &Windows, output: &[usize]) -> Outcome1 {
        let axes = output.len() - 2;
        let input = self.shape(x);
        let pads = windows.reach(&input[2..], &output[2..]);
        let x = self.recording.upload(x)?;
        let padded = self.padded(x, &pads, 0.0)?;
        let planes = self.planes(padded, axes)?;
        let count = self.shape(planes)[0];
        let ones = self.recording.host_array(&[], vec![1.0], InputKind::Float)?;
        let ones = self.repeated_to(ones, &[&[count, 1], &windows.kernel[..]].concat())?;
        let ones = self.recording.upload(ones)?;
        let options = ConvOptions {
            stride: windows.stride.clone(),
            padding: vec![0; axes],
            dilation: windows.dilation.clone(),
            groups: count,
        };
        let var = self.tape(planes).conv(planes.var, ones.var, None, &options);
        let sums = self.float_of(var, planes);
        Ok(self.recording.reshape(sums, output))
    }
}

/// The largest entry of each window.
pub(super) fn max_pool(call: &mut Call<'_>) -> Outcome {
    ensure!(
        call.node.outputs.get(1).is_none_or(String::is_empty),
        "the places of the maxima are not computed"
    );
    let (mut x, windows, output) = call.pooled()?;
    windows.check_seen(&call.shape(x)[2..], &output[2..])?;
    let axes = output.len() - 2;
    let options = match windows.options() {
        Some(options) => options,
        None => {
            let pads = windows.reach(&call.shape(x)[2..], &output[2..]);
            x = call.padded(x, &pads, f64::NEG_INFINITY)?;
            let even = Windows { pads: vec![(0, 0); axes], ceil: false, ..windows };
            even.options().expect("no padding is even padding")
        }
    };
    options.window(&call.shape(x)[2..]).map_err(|error| Fault(error.to_string()))?;
    let planes = call.planes(x, axes)?;
    let var = call.tape(planes).max_pool(planes.var, &options);
    let result = Array { var, ..planes };
    one(call.recording.reshape(result, &output))
}

/// The mean of each window.
pub(super) fn avg_pool(call: &mut Call<'_>) -> Outcome {
    let (x, windows, output) = call.pooled()?;
    let plain = windows.options().filter(|o| o.dilation.iter().all(|&d| d == 1));
    if let Some(options) = plain {
        options.window(&call.shape(x)[2..]).map_err(|error| Fault(error.to_string()))?;
        let planes = call.planes(x, output.len() - 2)?;
        let var = call.tape(planes).avg_pool(planes.var, &options);
        let result = call.float_of(var, planes);
        return one(call.recording.reshape(result, &output));
    }
    let counts = windows.counts(&call.shape(x)[2..], &output[2..]);
    let counts = call.recording.host_array(&output[2..], counts, InputKind::Float)?;
    let sums = call.window_sums(x, &windows, &output)?;
    one(call.pair(sums, counts, Tape::div)?)
}

/// The p-norm of each window.
pub(super) fn lp_pool(call: &mut Call<'_>) -> Outcome {
    let (x, windows, output) = call.pooled()?;
    let p = call.size("p", 2)?;
    let powers = call.powers(x, p)?;
    let sums = call.window_sums(powers, &windows, &output)?;
    one(call.root(sums, p))
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
