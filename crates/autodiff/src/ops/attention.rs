//! Multi-head self-attention, made of ordinary operations.

use vivit_tensor::Tensor;

use crate::{Tape, Var};

/// The parameters of self-attention over F features.
#[derive(Clone, Copy, Debug)]
pub struct AttentionParams {
    /// `[3F, F]`: queries, keys, values, in this order.
    pub in_weight: Var,
    /// `[3F]`
    pub in_bias: Option<Var>,
    /// `[F, F]`
    pub out_weight: Var,
    /// `[F]`
    pub out_bias: Option<Var>,
}

impl Tape {
    /// `softmax(q kᵀ/√d) v` per head, x `[N, T, F]` to `[N, T, F]`; heads split the features. With
    /// `causal` a position sees itself and those before it.
    ///
    /// # Panics
    /// If the shapes do not fit or the heads do not divide the features.
    #[track_caller]
    pub fn self_attention(
        &mut self,
        x: Var,
        params: AttentionParams,
        heads: usize,
        causal: bool,
    ) -> Var {
        let [_, t, f] = **self.value(x).shape() else {
            panic!("self-attention needs [N, T, F], got {}", self.value(x).shape())
        };
        assert!(
            heads > 0 && f % heads == 0,
            "self-attention: {heads} heads do not divide {f} features"
        );
        let packed = self.linear(x, params.in_weight, params.in_bias);
        // [N, T, 3F] to [N, heads, T, d] each.
        let mut part = |at: usize| {
            let part = self.slice(packed, 2, at * f, (at + 1) * f);
            let split = self.reshape(part, &[t, heads, f / heads]);
            self.permute(split, &[0, 2, 1, 3])
        };
        let (q, k, v) = (part(0), part(1), part(2));
        let scores = self.matmul_transposed(q, k);
        let mut scores = self.scale(scores, 1.0 / ((f / heads) as f64).sqrt());
        if causal {
            let hidden = |at: usize| if at % t > at / t { f64::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f64> = (0..t * t).map(hidden).collect();
            let mask = self.device().upload(mask.into());
            let mask = Tensor::from_buf(self.device(), [t, t], mask);
            let mask = self.constant(mask);
            scores = self.add(scores, mask);
        }
        let attention = self.softmax(scores, 3);
        let mixed = self.matmul(attention, v);
        let mixed = self.permute(mixed, &[0, 2, 1, 3]);
        let mixed = self.reshape(mixed, &[t, f]);
        self.linear(mixed, params.out_weight, params.out_bias)
    }
}
