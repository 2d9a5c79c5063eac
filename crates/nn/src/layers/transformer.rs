//! Transformer layers, wired from others.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::{
    Join, Layer, LayerNorm, LayerState, Linear, MultiheadAttention, ParamSpec, Recorder,
    ShapeError, Wire, Wiring, gelu, relu,
};

/// Self-attention and a feed-forward network of one hidden layer over `[T, F]` samples, each with a
/// layer norm and added to what it reads.
///
/// Its parameters are those of PyTorch's `nn.TransformerEncoderLayer`: `self_attn.in_proj_weight`
/// and its like, `linear1`, `linear2`, `norm1` and `norm2`. There is no dropout.
///
/// ```
/// use vivit_nn::{Layer, TransformerEncoderLayer};
///
/// let layer = TransformerEncoderLayer::new(8, 2, 16).norm_first().gelu();
/// assert_eq!(layer.output_shape(&[5, 8])?, [5, 8]);
/// assert!(layer.params().iter().any(|param| param.name == "self_attn.out_proj.weight"));
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TransformerEncoderLayer {
    /// Features F.
    pub features: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Hidden features of the feed-forward network.
    pub hidden: usize,
    /// Whether the norms come before attention and network, or after what these are added to.
    pub norm_first: bool,
    /// Whether the network's activation is GELU, or ReLU.
    pub gelu: bool,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
    /// Whether there are biases.
    pub bias: bool,
    /// Added to the norms' variances.
    pub epsilon: f64,
}

/// Adds a part of the layer to a wiring.
type Part = fn(&TransformerEncoderLayer, &mut Wiring, Wire) -> Wire;

impl TransformerEncoderLayer {
    /// PyTorch's defaults: norms last, ReLU, all positions seen, biases, ε = 1e-5.
    pub fn new(features: usize, heads: usize, hidden: usize) -> Self {
        TransformerEncoderLayer {
            features,
            heads,
            hidden,
            norm_first: false,
            gelu: false,
            causal: false,
            bias: true,
            epsilon: 1e-5,
        }
    }

    /// The same with the norms before attention and network.
    #[must_use]
    pub fn norm_first(self) -> Self {
        TransformerEncoderLayer { norm_first: true, ..self }
    }

    /// The same with GELU.
    #[must_use]
    pub fn gelu(self) -> Self {
        TransformerEncoderLayer { gelu: true, ..self }
    }

    /// The same, where a position sees only itself and those before it.
    #[must_use]
    pub fn causal(self) -> Self {
        TransformerEncoderLayer { causal: true, ..self }
    }

    /// The same without biases, those of the norms included.
    #[must_use]
    pub fn without_bias(self) -> Self {
        TransformerEncoderLayer { bias: false, ..self }
    }

    /// The same with another number added to the norms' variances.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        TransformerEncoderLayer { epsilon, ..self }
    }

    fn norm(&self, net: &mut Wiring, name: &str, x: Wire) -> Wire {
        let norm = LayerNorm::new(&[self.features]).epsilon(self.epsilon);
        let norm = if self.bias { norm } else { norm.without_bias() };
        net.layer(name, norm.boxed(), x)
    }

    fn attention(&self, net: &mut Wiring, x: Wire) -> Wire {
        let (causal, bias) = (self.causal, self.bias);
        let all = MultiheadAttention::new(self.features, self.heads);
        net.layer("self_attn", MultiheadAttention { causal, bias, ..all }.boxed(), x)
    }

    fn feed_forward(&self, net: &mut Wiring, x: Wire) -> Wire {
        let linear = |inputs, outputs| {
            let linear = Linear::new(inputs, outputs);
            if self.bias { linear.boxed() } else { linear.without_bias().boxed() }
        };
        let hidden = net.layer("linear1", linear(self.features, self.hidden), x);
        let hidden = net.layer("activation", if self.gelu { gelu() } else { relu() }, hidden);
        net.layer("linear2", linear(self.hidden, self.features), hidden)
    }

    /// The layers that it consists of.
    fn wired(&self) -> Box<dyn Layer> {
        let mut net = Wiring::new();
        let mut x = net.input();
        let parts: [(&str, Part); 2] = [("norm1", Self::attention), ("norm2", Self::feed_forward)];
        for (norm, part) in parts {
            let read = if self.norm_first { self.norm(&mut net, norm, x) } else { x };
            let more = part(self, &mut net, read);
            x = net.join(Join::Sum, &[x, more]);
            if !self.norm_first {
                x = self.norm(&mut net, norm, x);
            }
        }
        net.output(x)
    }
}

described! {
    impl TransformerEncoderLayer as &["transformer_encoder_layer"];
    features: "features", heads: "heads", hidden: "hidden", norm_first: "norm_first" = false,
    gelu: "gelu" = false, causal: "causal" = false, bias: "bias" = true, epsilon: "eps" = 1e-5,
}

/// A [`TransformerEncoderLayer`] with PyTorch's defaults.
///
/// ```
/// use vivit_nn::transformer_encoder_layer;
///
/// assert_eq!(transformer_encoder_layer(8, 2, 16).output_shape(&[5, 8])?, [5, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn transformer_encoder_layer(features: usize, heads: usize, hidden: usize) -> Box<dyn Layer> {
    TransformerEncoderLayer::new(features, heads, hidden).boxed()
}

impl Layer for TransformerEncoderLayer {
    fn name(&self) -> String {
        format!("transformer_encoder_layer {} features, {} heads", self.features, self.heads)
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.wired().params()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        self.wired().output_shape(input)
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        self.wired().record(recorder, state, x)
    }
}
