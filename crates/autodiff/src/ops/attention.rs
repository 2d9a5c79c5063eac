//! Attention, made of ordinary operations.

use vivit_tensor::Tensor;

use crate::{Tape, Var};

vivit_tensor::options! {
    /// Options of [`Tape::attention`].
    #[derive(Clone, Copy, Debug)]
    pub struct AttentionOptions {
        /// The factor of the scores `q kᵀ`; `1/√d` if `None`.
        pub scale: Option<f64> = None,
        /// The bound c of the scaled scores s, which become `c tanh(s/c)`.
        pub soft_cap: Option<f64> = None,
        /// Whether query t sees keys 0 to t only, counted from the first of both.
        pub causal: bool = false,
        /// A value that is added to the scores, scaled and capped, before the softmax. Its axes
        /// (without a sample axis) are aligned with the last of `[H, T, S]`; missing ones and ones
        /// of length one repeat.
        pub mask: Option<Var> = None,
    }
}

/// Lengths of attention's axes.
#[derive(Clone, Copy)]
struct Dims {
    /// Query heads, and heads of keys and values.
    heads: [usize; 2],
    /// Queries and keys.
    positions: [usize; 2],
    /// Features of queries and keys, and of values.
    features: [usize; 2],
}

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
    /// Scaled dot-product attention, `softmax(q kᵀ/√d + mask) v` per head: query `[N, H, T, d]`,
    /// key `[N, G, S, d]` and value `[N, G, S, e]` to `[N, H, T, e]`. All three carry the sample
    /// axis, or none.
    ///
    /// H is a multiple of G: `H/G` consecutive query heads share a head of keys and values
    /// (grouped-query attention; `G = 1` is multi-query attention).
    ///
    /// −∞ in the mask hides a key from a query. A query that sees no key at all gives zeros, and so
    /// do its derivatives: what PyTorch's `scaled_dot_product_attention` does. A mask with a sample
    /// axis that holds −∞ enters the tape as a [`batched_constant`](Tape::batched_constant), or is
    /// computed.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_autodiff::ops::AttentionOptions;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// // One head, two positions: equal scores, so every query gets the mean of what it sees.
    /// let q = tape.input(Tensor::zeros(&cpu, [1, 1, 2, 3]));
    /// let v = tape.input(Tensor::from_vec(&cpu, [1, 1, 2, 1], vec![2.0, 4.0])?);
    /// let y = tape.attention(q, q, v, AttentionOptions::default().causal(true));
    /// assert_eq!(tape.value(y).to_vec()?, [2.0, 3.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn attention(
        &mut self,
        query: Var,
        key: Var,
        value: Var,
        options: AttentionOptions,
    ) -> Var {
        let Dims { heads: [h, g], positions: [t, s], features: [d, e] } =
            self.attention_dims(query, key, value);
        let scale = options.scale.unwrap_or(1.0 / (d as f64).sqrt());
        let query = self.scale(query, scale);
        // The queries of heads that share keys lie one after the other.
        let query = self.reshape(query, &[g, h / g * t, d]);
        let mut scores = self.matmul_transposed(query, key);
        if let Some(cap) = options.soft_cap {
            scores = self.scale(scores, 1.0 / cap);
            scores = self.tanh(scores);
            scores = self.scale(scores, cap);
        }
        let scores = self.reshape(scores, &[h, t, s]);
        let weights = self.attention_weights(scores, options);
        let weights = self.reshape(weights, &[g, h / g * t, s]);
        let mixed = self.matmul(weights, value);
        self.reshape(mixed, &[h, t, e])
    }

    #[track_caller]
    fn attention_dims(&self, query: Var, key: Var, value: Var) -> Dims {
        let shapes = [query, key, value].map(|var| *self.value(var).shape());
        let batched = [query, key, value].map(|var| self.is_batched(var));
        let lead = usize::from(batched[0]);
        let fail = || -> ! {
            panic!(
                "attention of query {}, key {} and value {}: needs [N, H, T, d], [N, G, S, d] and \
                 [N, G, S, e], H a multiple of G, all with a sample axis or none",
                shapes[0], shapes[1], shapes[2]
            )
        };
        if batched != [batched[0]; 3] || shapes.iter().any(|shape| shape.rank() != lead + 3) {
            fail();
        }
        let [q, k, v] = shapes.map(|shape| [shape[lead], shape[lead + 1], shape[lead + 2]]);
        let samples = shapes.map(|shape| if lead == 1 { shape[0] } else { 1 });
        let shared = k[0] > 0 && q[0] % k[0] == 0 && k[0] == v[0];
        if !shared || samples != [samples[0]; 3] || k[1] != v[1] || q[2] != k[2] {
            fail();
        }
        Dims { heads: [q[0], k[0]], positions: [q[1], k[1]], features: [q[2], v[2]] }
    }

    /// Softmax of masked scores `[N, H, T, S]` along S.
    #[track_caller]
    fn attention_weights(&mut self, mut scores: Var, options: AttentionOptions) -> Var {
        if options.causal {
            let shape = self.value(scores).shape();
            let lengths = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
            let mask = self.causal_mask(lengths);
            scores = self.add_mask(scores, mask);
        }
        if let Some(mask) = options.mask {
            scores = self.add_mask(scores, mask);
        }
        let last = self.value(scores).shape().rank() - 1;
        match options.mask {
            Some(_) => self.masked_softmax(scores, last),
            None => self.softmax(scores, last),
        }
    }

    /// `[T, S]`: −∞ where the key comes after the query, else 0.
    fn causal_mask(&mut self, [t, s]: [usize; 2]) -> Var {
        let hidden = |at: usize| if at % s > at / s { f64::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f64> = (0..t * s).map(hidden).collect();
        let mask = self.device().upload(mask.into());
        let mask = Tensor::from_buf(self.device(), [t, s], mask);
        self.constant(mask)
    }

    /// `scores + mask`, the mask's own axes aligned with the last of the scores'.
    #[track_caller]
    fn add_mask(&mut self, scores: Var, mask: Var) -> Var {
        let own = *self.value(mask).shape();
        let own = if self.is_batched(mask) { own.tail() } else { own };
        assert!(own.rank() <= 3, "attention: mask {} for [H, T, S]", self.value(mask).shape());
        let aligned = [vec![1; 3 - own.rank()], own.to_vec()].concat();
        let mask = self.reshape(mask, &aligned);
        self.add(scores, mask)
    }

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
        let [_, _, f] = **self.value(x).shape() else {
            panic!("self-attention needs [N, T, F], got {}", self.value(x).shape())
        };
        let packed = self.linear(x, params.in_weight, params.in_bias);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let part = self.slice(packed, 2, part * f, (part + 1) * f);
            self.split_heads(part, heads)
        });
        let mixed = self.attention(q, k, v, AttentionOptions::default().causal(causal));
        let mixed = self.join_heads(mixed);
        self.linear(mixed, params.out_weight, params.out_bias)
    }

    /// `[N, T, F]` to `[N, H, T, F/H]`, the layout of [`attention`](Tape::attention).
    ///
    /// # Panics
    /// If the shape does not fit or the heads do not divide the features.
    #[track_caller]
    pub fn split_heads(&mut self, x: Var, heads: usize) -> Var {
        let [_, t, f] = **self.value(x).shape() else {
            panic!("attention's heads split [N, T, F], got {}", self.value(x).shape())
        };
        assert!(heads > 0 && f % heads == 0, "attention: {heads} heads do not divide {f} features");
        let split = self.reshape(x, &[t, heads, f / heads]);
        self.permute(split, &[0, 2, 1, 3])
    }

    /// `[N, H, T, d]` to `[N, T, H·d]`: what [`split_heads`](Tape::split_heads) undoes.
    ///
    /// # Panics
    /// If the shape does not fit.
    #[track_caller]
    pub fn join_heads(&mut self, x: Var) -> Var {
        let [_, h, t, d] = **self.value(x).shape() else {
            panic!("attention's heads are [N, H, T, d], got {}", self.value(x).shape())
        };
        let joined = self.permute(x, &[0, 2, 1, 3]);
        self.reshape(joined, &[t, h * d])
    }
}
