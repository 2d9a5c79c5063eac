//! Normalisation.

use vivit_autodiff::ops::LocalResponseOptions;
use vivit_autodiff::{InputKind, Tape};
use vivit_tensor::Unary;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure};
use crate::graph::value::Array;

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

impl Call<'_> {
    fn epsilon(&self) -> Result<f64, Fault> {
        let epsilon = self.float("epsilon", 1e-5)?;
        ensure!(
            epsilon >= 0.0 && epsilon.is_finite(),
            "option \"epsilon\" must be at least 0 and finite, got {epsilon}"
        );
        Ok(epsilon)
    }

    /// One number per channel, in a shape that repeats along `[N, C, *]`.
    fn per_channel(&mut self, x: Array, of: &[usize]) -> Outcome1 {
        let shape = self.shape(x);
        ensure!(
            shape == [of[1]],
            "shape [{}] is needed for the channels of {of:?}, got {shape:?}",
            of[1]
        );
        let mut thin = vec![1; of.len() - 1];
        thin[0] = of[1];
        Ok(self.recording.reshape(x, &thin))
    }

    /// `x · weight + bias` for what there is, repeated as it stands.
    fn scaled(&mut self, x: Array, weight: Option<Array>, bias: Option<Array>) -> Outcome1 {
        let shape = self.shape(x);
        let mut result = x;
        if let Some(weight) = weight {
            result = self.pair(result, weight, Tape::mul)?;
        }
        if let Some(bias) = bias {
            result = self.pair(result, bias, Tape::add)?;
        }
        let got = self.shape(result);
        ensure!(got == shape, "weight or bias do not fit shape {shape:?}");
        Ok(result)
    }

    /// `x · weight + bias` with one number per channel each.
    fn scaled_channels(
        &mut self,
        x: Array,
        weight: Option<Array>,
        bias: Option<Array>,
    ) -> Outcome1 {
        let shape = self.shape(x);
        let weight = weight.map(|weight| self.per_channel(weight, &shape)).transpose()?;
        let bias = bias.map(|bias| self.per_channel(bias, &shape)).transpose()?;
        self.scaled(x, weight, bias)
    }

    /// Normalises blocks of `block` consecutive numbers: less their mean, if `centre`, divided by
    /// their deviation.
    fn normalized(&mut self, x: Array, block: usize, centre: bool, epsilon: f64) -> Outcome1 {
        let shape = self.shape(x);
        let entries: usize = shape.iter().product();
        ensure!(
            block > 0 && entries > 0 && entries % block == 0,
            "blocks of {block} do not divide shape {shape:?}"
        );
        let x = self.recording.per_sample(x)?;
        let rows = self.recording.reshape(x, &[entries / block, block]);
        let tape = self.tape(rows);
        let var = if centre {
            tape.layer_norm(rows.var, 1, None, None, epsilon)
        } else {
            tape.rms_norm(rows.var, None, epsilon)
        };
        let result = self.float_of(var, rows);
        Ok(self.recording.reshape(result, &shape))
    }

    /// `[N, C, *]`.
    fn channels(&mut self, at: usize) -> Result<(Array, Vec<usize>), Fault> {
        let x = self.array(at)?;
        let shape = self.shape(x);
        ensure!(shape.len() >= 2, "[N, C, *] is needed, got {shape:?}");
        Ok((x, shape))
    }
}

/// With running statistics: x, weight, bias, mean, variance.
pub(super) fn batch_norm(call: &mut Call<'_>) -> Outcome {
    let (x, shape) = call.channels(0)?;
    let epsilon = call.epsilon()?;
    let [weight, bias] = [call.optional(1)?, call.optional(2)?];
    let (mean, variance) = (call.array(3)?, call.array(4)?);
    let shifted = call.map(Unary::Shift(epsilon), variance);
    let inverse = call.map(Unary::Rsqrt, shifted);
    // x · 1/√(σ² + ε) − mean · 1/√(σ² + ε): what depends on no input is computed once per channel.
    let offset = call.pair(mean, inverse, Tape::mul)?;
    let offset = call.map(Unary::Scale(-1.0), offset);
    let (inverse, offset) = (call.per_channel(inverse, &shape)?, call.per_channel(offset, &shape)?);
    let normal = call.scaled(x, Some(inverse), Some(offset))?;
    let normal = Array { kind: InputKind::Float, ..normal };
    one(call.scaled_channels(normal, weight, bias)?)
}

/// Over the axes from option `axis` on: x, weight, bias. Further results, if they are read: the
/// means, and one over the deviations.
pub(super) fn layer_norm(call: &mut Call<'_>) -> Outcome {
    let (x, weight, bias) = (call.array(0)?, call.optional(1)?, call.optional(2)?);
    let (block, epsilon) = (call.block(x)?, call.epsilon()?);
    let normal = call.normalized(x, block, true, epsilon)?;
    let mut results = one(call.scaled(normal, weight, bias)?)?;
    if call.node.outputs.len() > 1 {
        let (mean, inverse) = call.statistics(x, epsilon)?;
        results.extend([mean.into(), inverse.into()]);
    }
    Ok(results)
}

/// As layer norm without the mean: x, weight.
pub(super) fn rms_norm(call: &mut Call<'_>) -> Outcome {
    let (x, weight) = (call.array(0)?, call.optional(1)?);
    let (block, epsilon) = (call.block(x)?, call.epsilon()?);
    let normal = call.normalized(x, block, false, epsilon)?;
    one(call.scaled(normal, weight, None)?)
}

impl Call<'_> {
    /// Means over the axes from option `axis` on, and one over the deviations.
    fn statistics(&mut self, x: Array, epsilon: f64) -> Result<(Array, Array), Fault> {
        let rank = self.recording.rank(x);
        let axis = self.axis(self.int("axis", -1)?, rank)?;
        let mean = self.mean_from(x, axis)?;
        let centred = self.pair(x, mean, Tape::sub)?;
        let squares = self.map(Unary::Square, centred);
        let variance = self.mean_from(squares, axis)?;
        let shifted = self.map(Unary::Shift(epsilon), variance);
        Ok((mean, self.map(Unary::Rsqrt, shifted)))
    }

    /// Entries of the axes from option `axis` on.
    fn block(&mut self, x: Array) -> Result<usize, Fault> {
        let shape = self.shape(x);
        let axis = self.axis(self.int("axis", -1)?, shape.len())?;
        Ok(shape[axis..].iter().product())
    }
}

/// Over groups of channels: x, weight, bias with one number per channel.
pub(super) fn group_norm(call: &mut Call<'_>) -> Outcome {
    let (x, shape) = call.channels(0)?;
    let groups = call.size("groups", 1)?;
    ensure!(
        groups > 0 && shape[1] % groups == 0,
        "{groups} groups do not divide {} channels",
        shape[1]
    );
    call.over_groups(x, shape[1] / groups)
}

/// Over every channel: x, weight, bias.
pub(super) fn instance_norm(call: &mut Call<'_>) -> Outcome {
    let (x, _) = call.channels(0)?;
    call.over_groups(x, 1)
}

impl Call<'_> {
    fn over_groups(&mut self, x: Array, channels: usize) -> Outcome {
        let (weight, bias, epsilon) = (self.optional(1)?, self.optional(2)?, self.epsilon()?);
        let plane: usize = self.shape(x)[2..].iter().product();
        let normal = self.normalized(x, channels * plane, true, epsilon)?;
        one(self.scaled_channels(normal, weight, bias)?)
    }
}

/// Less the mean, divided by the deviation, over option `axes`.
pub(super) fn mean_variance_normalize(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let rank = call.recording.rank(x);
    let axes = call.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let (axes, epsilon) = (call.axes(&axes, rank)?, call.float("epsilon", 1e-9)?);
    let x = call.recording.upload(x)?;
    // The axes that are averaged over, last.
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let order = [&kept[..], &axes[..]].concat();
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(at, &axis)| back[axis] = at);
    let moved = call.recording.permute(x, &order);
    let block = call.shape(moved)[kept.len()..].iter().product();
    let normal = call.normalized(moved, block, true, epsilon)?;
    one(call.recording.permute(normal, &back))
}

/// `x / (k + α/size Σ x²)^β` over `size` channels around each, `before` of them before it.
pub(super) fn local_response_norm(call: &mut Call<'_>) -> Outcome {
    let (x, shape) = call.channels(0)?;
    let size = call.size("size", 1)?;
    ensure!(size > 0 && size < 1 << 31, "option \"size\" must be from 1 to 2³¹, got {size}");
    let before = call.size("before", (size - 1) / 2)?;
    ensure!(before < size, "option \"before\" must be below \"size\", {size}, got {before}");
    ensure!(!shape.contains(&0), "an array of shape {shape:?} has no entries");
    call.recording.check_shape(&[&[shape[1].saturating_add(size)], &shape[2..]].concat())?;
    let options = LocalResponseOptions::default()
        .before(Some(before))
        .alpha(call.float("alpha", 1e-4)?)
        .beta(call.float("beta", 0.75)?)
        .k(call.float("k", 1.0)?);
    // Items that the graph itself holds side by side are positions.
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.swap(0, 1);
    let x = call.recording.per_sample(x)?;
    let single = shape[0] == 1;
    let channels = if single {
        call.recording.reshape(x, &shape[1..])
    } else {
        call.recording.permute(x, &order)
    };
    let var = call.tape(channels).local_response_norm(channels.var, size, options);
    let result = call.float_of(var, channels);
    one(if single {
        call.recording.reshape(result, &shape)
    } else {
        call.recording.permute(result, &order)
    })
}
