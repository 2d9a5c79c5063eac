//! Attention, and rotations of its queries and keys.

use vivit_autodiff::ops::AttentionOptions;
use vivit_autodiff::{InputKind, Tape};

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{ensure, fault};
use crate::graph::value::Array;

/// Scaled dot-product attention: query `[N, H, T, d]`, key `[N, G, S, d]`, value `[N, G, S, e]`,
/// and a mask that repeats to `[N, H, T, S]`: added to the scores, or, of truth values, naming the
/// keys that are seen. Result `[N, H, T, e]`.
pub(super) fn attention(call: &mut Call<'_>) -> Outcome {
    let mut three = [call.array(0)?, call.array(1)?, call.array(2)?];
    let mask = call.optional(3)?;
    let [q, k, v] = three.map(|array| call.shape(array));
    let fits = q.len() == 4
        && k.len() == 4
        && v.len() == 4
        && q[0] == k[0]
        && k[..3] == v[..3]
        && q[3] == k[3]
        && k[1] > 0
        && q[1] % k[1] == 0
        && ![&q, &k, &v].iter().any(|shape| shape.contains(&0));
    ensure!(
        fits,
        "query {q:?}, key {k:?} and value {v:?} do not fit: [N, H, T, d], [N, G, S, d] and \
         [N, G, S, e], H a multiple of G"
    );
    for array in three.iter_mut() {
        *array = call.recording.per_sample(*array)?;
    }
    let mask = mask.map(|mask| call.additive(mask)).transpose()?;
    if let Some(mask) = mask {
        let shape = call.shape(mask);
        let whole = [q[0], q[1], q[2], k[2]];
        let fits = shape.len() <= 4
            && shape.iter().zip(&whole[4 - shape.len()..]).all(|(a, b)| a == b || *a == 1);
        ensure!(fits, "a mask of shape {shape:?} does not repeat to {whole:?}");
    }
    let options = AttentionOptions::default()
        .scale(call.optional_float("scale")?)
        .soft_cap(call.optional_float("soft_cap")?.filter(|&cap| cap != 0.0))
        .causal(call.flag("causal", false)?);
    let mut items = Vec::with_capacity(q[0]);
    for item in 0..q[0] {
        let mut part = |array: Array, shape: &[usize]| -> Outcome1 {
            let part = call.part(array, 0, item, item + 1)?;
            Ok(call.recording.reshape(part, &shape[1..]))
        };
        let [a, b, c] = [part(three[0], &q)?, part(three[1], &k)?, part(three[2], &v)?];
        let mask = match mask {
            Some(mask) => {
                let mask = call.mask_of(mask, item)?;
                Some(mask.var)
            }
            None => None,
        };
        let var = call.tape(a).attention(a.var, b.var, c.var, options.mask(mask));
        let result = call.float_of(var, a);
        items.push(call.recording.reshape(result, &[1, q[1], q[2], v[3]]));
    }
    Ok(vec![call.joined(items, 0)?.into()])
}

impl Call<'_> {
    /// A mask of truth values as −∞ where nothing is seen; another one as it is; on the device.
    fn additive(&mut self, mask: Array) -> Outcome1 {
        let mask = if mask.kind == InputKind::Bool {
            let seen = self.recording.host_array(&[], vec![0.0], InputKind::Float)?;
            let hidden =
                self.recording.host_array(&[], vec![f64::NEG_INFINITY], InputKind::Float)?;
            self.chosen(mask, seen, hidden)?
        } else {
            mask
        };
        self.recording.upload(mask)
    }

    /// The mask of one item that the graph holds side by side, without the axis of items.
    fn mask_of(&mut self, mask: Array, item: usize) -> Outcome1 {
        let shape = self.shape(mask);
        if shape.len() < 4 {
            return Ok(mask);
        }
        let item = if shape[0] == 1 { 0 } else { item };
        let part = self.part(mask, 0, item, item + 1)?;
        Ok(self.recording.reshape(part, &shape[1..]))
    }
}

/// Rotates pairs of features by position: x `[N, H, T, d]` (or `[N, T, H·d]` with option `heads`),
/// cosines and sines `[positions, r/2]` or `[N, T, r/2]`, and positions `[N, T]`, which may be left
/// out. With `interleaved`, pairs are neighbours; else halves of the first r features.
pub(super) fn rotary(call: &mut Call<'_>) -> Outcome {
    let (mut x, mut cos, mut sin) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let positions = call.optional(3)?;
    let original = call.shape(x);
    if original.len() == 3 {
        let heads = call.size("heads", 0)?;
        let [n, t, f] = original[..] else { unreachable!("three axes") };
        ensure!(heads > 0 && f % heads == 0, "{heads} heads do not divide {f} features");
        x = call.recording.reshape(x, &[n, t, heads, f / heads]);
        x = call.recording.permute(x, &[0, 2, 1, 3]);
    }
    let shape = call.shape(x);
    let [n, _, t, d] = shape[..] else { fault!("[N, H, T, d] is needed, got {original:?}") };
    let r = match call.size("rotated", 0)? {
        0 => d,
        r => r,
    };
    ensure!(r <= d && r % 2 == 0, "{r} of {d} features can't be rotated in pairs");
    let half = r / 2;
    for table in [&mut cos, &mut sin] {
        let mut rows = *table;
        if let Some(positions) = positions {
            rows = call.gathered(rows, positions, 0)?;
        }
        let got = call.shape(rows);
        let fits = got.len() == 3 && got[1..] == [t, half] && (got[0] == n || got[0] == 1);
        ensure!(fits, "cosines and sines must have shape [{n}, {t}, {half}], got {got:?}");
        *table = call.recording.reshape(rows, &[got[0], 1, t, half]);
    }
    let turned = call.part(x, 3, 0, r)?;
    let rest = call.part(x, 3, r, d)?;
    let interleaved = call.flag("interleaved", false)?;
    let [a, b] = if interleaved {
        let pairs = call.recording.reshape(turned, &[shape[0], shape[1], t, half, 2]);
        let [a, b] = [call.part(pairs, 4, 0, 1)?, call.part(pairs, 4, 1, 2)?];
        [a, b].map(|part| call.recording.reshape(part, &[shape[0], shape[1], t, half]))
    } else {
        [call.part(turned, 3, 0, half)?, call.part(turned, 3, half, r)?]
    };
    let product = |call: &mut Call<'_>, a, b| call.pair(a, b, Tape::mul);
    let (a_cos, b_sin) = (product(call, a, cos)?, product(call, b, sin)?);
    let (a_sin, b_cos) = (product(call, a, sin)?, product(call, b, cos)?);
    let real = call.pair(a_cos, b_sin, Tape::sub)?;
    let imaginary = call.pair(a_sin, b_cos, Tape::add)?;
    let mut result = if interleaved {
        let wide = [shape[0], shape[1], t, half, 1];
        let parts = [real, imaginary].map(|part| call.recording.reshape(part, &wide)).to_vec();
        let pairs = call.joined(parts, 4)?;
        call.recording.reshape(pairs, &[shape[0], shape[1], t, r])
    } else {
        call.joined(vec![real, imaginary], 3)?
    };
    if r < d {
        result = call.joined(vec![result, rest], 3)?;
    }
    if original.len() == 3 {
        result = call.recording.permute(result, &[0, 2, 1, 3]);
        result = call.recording.reshape(result, &original);
    }
    Ok(vec![result.into()])
}
