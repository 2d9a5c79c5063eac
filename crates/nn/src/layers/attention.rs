//! Multi-head attention.

use vivit_autodiff::ops::{AttentionOptions, AttentionParams};
use vivit_autodiff::{Tape, Var};

use crate::description::entry::described;
use crate::{
    Error, Init, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// Multi-head attention, `softmax(q kᵀ/√d) v` per head, of queries `[T, F]` to keys `[S, K]` and
/// values `[S, V]`; samples of the result are `[T, F]`.
///
/// In a row it reads one value, which gives queries, keys and values (self-attention). A
/// [`Wiring`](crate::Wiring) may hand it two, queries and what gives both keys and values, or all
/// three.
///
/// Its parameters are those of PyTorch's `nn.MultiheadAttention`: `in_proj_weight [3F, F]`, which
/// packs queries, keys and values, or, where K or V is not F, `q_proj_weight [F, F]`,
/// `k_proj_weight [F, K]` and `v_proj_weight [F, V]`; `in_proj_bias [3F]`, `out_proj.weight [F, F]`
/// and `out_proj.bias [F]`.
///
/// ```
/// use vivit_nn::{Layer, MultiheadAttention};
///
/// let layer = MultiheadAttention::new(8, 2).key_features(6).value_features(4);
/// assert_eq!(layer.output_shape_of(&[&[5, 8], &[7, 6], &[7, 4]])?, [5, 8]);
/// assert_eq!(layer.params()[1].name, "k_proj_weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultiheadAttention {
    /// Features F of queries and of the result.
    pub features: usize,
    /// Heads, which split the features.
    pub heads: usize,
    /// Features K of what gives the keys.
    pub key_features: usize,
    /// Features V of what gives the values.
    pub value_features: usize,
    /// Whether a query sees only the keys up to its own position.
    pub causal: bool,
    /// Whether the projections have biases.
    pub bias: bool,
}

impl MultiheadAttention {
    /// With biases and `K = V = F`; every query sees all keys.
    pub fn new(features: usize, heads: usize) -> Self {
        MultiheadAttention {
            features,
            heads,
            key_features: features,
            value_features: features,
            causal: false,
            bias: true,
        }
    }

    /// The same with other features of what gives the keys.
    #[must_use]
    pub fn key_features(self, key_features: usize) -> Self {
        MultiheadAttention { key_features, ..self }
    }

    /// The same with other features of what gives the values.
    #[must_use]
    pub fn value_features(self, value_features: usize) -> Self {
        MultiheadAttention { value_features, ..self }
    }

    /// The same, where a query sees only the keys up to its own position.
    #[must_use]
    pub fn causal(self) -> Self {
        MultiheadAttention { causal: true, ..self }
    }

    /// The same without biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        MultiheadAttention { bias: false, ..self }
    }

    /// Whether one array holds the three projections.
    fn packed(&self) -> bool {
        self.key_features == self.features && self.value_features == self.features
    }

    /// Weight and bias of the projections to queries, keys and values, and of the result's.
    fn projections(&self, tape: &mut Tape, params: &[Var]) -> [(Var, Option<Var>); 4] {
        let f = self.features;
        let (weights, rest) = params.split_at(if self.packed() { 1 } else { 3 });
        let (in_bias, out) = if self.bias { (Some(rest[0]), &rest[1..]) } else { (None, rest) };
        let mut rows = |of: Var, part: usize| tape.slice(of, 0, part * f, (part + 1) * f);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let weight = if self.packed() { rows(weights[0], part) } else { weights[part] };
            (weight, in_bias.map(|bias| rows(bias, part)))
        });
        [q, k, v, (out[0], out.get(1).copied())]
    }

    /// Writes query, key and value, each projected from a value of its own.
    fn projected(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        inputs: [&str; 3],
    ) -> [String; 3] {
        let weights = if self.packed() { 1 } else { 3 };
        let bias = arrays.params.get(weights).cloned();
        let mut rows = |of: &str| -> [String; 3] {
            writer.add_many(Node::new("split", &[of], "").with("axis", 0))
        };
        let weights = match arrays.params {
            [packed, ..] if weights == 1 => rows(packed),
            params => [0, 1, 2].map(|at| params[at].clone()),
        };
        let biases = bias.map(|bias| rows(&bias));
        [0, 1, 2].map(|at| {
            let mut reads = vec![inputs[at], &weights[at]];
            reads.extend(biases.as_ref().map(|biases| biases[at].as_str()));
            writer.add(Node::new("linear", &reads, ""))
        })
    }

    fn divided(&self) -> Result<(), ShapeError> {
        let divides = self.heads > 0 && self.features % self.heads == 0 && self.features > 0;
        if divides && self.key_features > 0 && self.value_features > 0 {
            return Ok(());
        }
        let reason = format!("{} heads do not divide {} features", self.heads, self.features);
        Err(ShapeError::new(self.name(), reason))
    }
}

described! {
    impl MultiheadAttention as &["multihead_attention"];
    features: "features", heads: "heads", key_features: "kdim" or null = features,
    value_features: "vdim" or null = features, causal: "causal" = false, bias: "bias" = true,
}

/// A [`MultiheadAttention`] layer with biases.
///
/// ```
/// use vivit_nn::multihead_attention;
///
/// assert_eq!(multihead_attention(8, 2).output_shape(&[5, 8])?, [5, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn multihead_attention(features: usize, heads: usize) -> Box<dyn Layer> {
    MultiheadAttention::new(features, heads).boxed()
}

impl Layer for MultiheadAttention {
    fn name(&self) -> String {
        format!("multihead_attention {} features, {} heads", self.features, self.heads)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let f = self.features;
        // PyTorch: Xavier for the projections, the packed one as a whole; biases zero.
        let xavier = |name: &str, shape: [usize; 2]| {
            let bound = (6.0 / (shape[0] + shape[1]).max(1) as f64).sqrt();
            ParamSpec::new(name, &shape, Init::Uniform { bound })
        };
        let bias = |name: &str, len: usize| {
            self.bias.then(|| ParamSpec::new(name, &[len], Init::Constant(0.0)))
        };
        let mut params = if self.packed() {
            vec![xavier("in_proj_weight", [3 * f, f])]
        } else {
            vec![
                xavier("q_proj_weight", [f, f]),
                xavier("k_proj_weight", [f, self.key_features]),
                xavier("v_proj_weight", [f, self.value_features]),
            ]
        };
        params.extend(bias("in_proj_bias", 3 * f));
        params.push(ParamSpec::new("out_proj.weight", &[f, f], Init::fan_in(f)));
        params.extend(bias("out_proj.bias", f));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        self.output_shape_of(&[input])
    }

    fn output_shape_of(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        self.divided()?;
        let [query, key, value] = match *inputs {
            [x] => [x; 3],
            [query, memory] => [query, memory, memory],
            [query, key, value] => [query, key, value],
            _ => {
                let reason = format!("reads one to three values, but is given {}", inputs.len());
                return Err(ShapeError::new(self.name(), reason));
            }
        };
        let fits = |shape: &[usize], features| matches!(*shape, [t, f] if t > 0 && f == features);
        if fits(query, self.features)
            && fits(key, self.key_features)
            && fits(value, self.value_features)
            && key[0] == value[0]
        {
            return Ok(query.to_vec());
        }
        let reason = format!(
            "needs samples [T, {}] of queries, [S, {}] of keys and [S, {}] of values, but their \
             shapes are {query:?}, {key:?} and {value:?}",
            self.features, self.key_features, self.value_features
        );
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        self.record_of(recorder, state, &[x])
    }

    fn record_of(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, inputs: &[Var]) -> Var {
        let tape = &mut *recorder.tape;
        if let ([x], true) = (inputs, self.packed()) {
            let (in_bias, out_bias) = (self.bias.then(|| state.params[1]), self.bias);
            let out = 1 + usize::from(self.bias);
            let params = AttentionParams {
                in_weight: state.params[0],
                in_bias,
                out_weight: state.params[out],
                out_bias: out_bias.then(|| state.params[out + 1]),
            };
            return tape.self_attention(*x, params, self.heads, self.causal);
        }
        let query = inputs[0];
        let key = inputs.get(1).copied().unwrap_or(query);
        let value = inputs.get(2).copied().unwrap_or(key);
        let [q, k, v, (out_weight, out_bias)] = self.projections(tape, state.params);
        let [q, k, v] = [(query, q), (key, k), (value, v)].map(|(x, (weight, bias))| {
            let projected = tape.linear(x, weight, bias);
            tape.split_heads(projected, self.heads)
        });
        let options = AttentionOptions::default().causal(self.causal);
        let mixed = tape.attention(q, k, v, options);
        let mixed = tape.join_heads(mixed);
        tape.linear(mixed, out_weight, out_bias)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        self.nodes_of(writer, arrays, &[x])
    }

    fn nodes_of(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        inputs: &[&str],
    ) -> Result<String, Error> {
        self.divided().map_err(|error| writer.refused(self.name(), error.reason))?;
        let out = arrays.params.len() - 1 - usize::from(self.bias);
        let (ins, outs) = arrays.params.split_at(out);
        let ins = LayerArrays { params: ins, ..arrays };
        let projected = match *inputs {
            [x] if self.packed() => {
                let all = writer.add(ins.node("linear", x));
                writer.add_many(Node::new("split", &[&all], "").with("axis", 2))
            }
            [x] => self.projected(writer, ins, [x; 3]),
            [query, memory] => self.projected(writer, ins, [query, memory, memory]),
            [query, key, value] => self.projected(writer, ins, [query, key, value]),
            _ => {
                let reason = format!("it reads one to three values, but is given {}", inputs.len());
                return Err(writer.refused(self.name(), reason));
            }
        };
        // [1, T, F] to [1, H, T, F/H] and back.
        let lengths = [0, 0, self.heads, self.features / self.heads].map(|len| len as i64);
        let turned = |writer: &mut NodeWriter, x: &str| {
            writer.add(Node::new("transpose", &[x], "").with("order", vec![0, 2, 1, 3]))
        };
        let [q, k, v] = projected.map(|x| {
            let split = writer.add_with("reshape", &x, &lengths);
            turned(writer, &split)
        });
        let node = Node::new("attention", &[&q, &k, &v], "").with("causal", self.causal);
        let mixed = writer.add(node);
        let mixed = turned(writer, &mixed);
        let mixed = writer.add_with("reshape", &mixed, &[0, 0, self.features as i64]);
        Ok(writer.add(LayerArrays { params: outs, ..arrays }.node("linear", &mixed)))
    }
}

/// Multi-head self-attention of `[T, F]` samples: `softmax(q kᵀ/√d) v` per head.
///
/// [`MultiheadAttention`] of one value, with its parameters.
///
/// ```
/// use vivit_nn::{Layer, SelfAttention};
///
/// let layer = SelfAttention::new(8, 2).causal().without_bias();
/// assert_eq!(layer.output_shape(&[5, 8])?, [5, 8]);
/// assert_eq!(layer.params()[0].name, "in_proj_weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelfAttention {
    /// Features F.
    pub features: usize,
    /// Heads, which split the features.
    pub heads: usize,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
    /// Whether the projections have biases.
    pub bias: bool,
}

impl SelfAttention {
    /// With biases; every position sees all of them.
    pub fn new(features: usize, heads: usize) -> Self {
        SelfAttention { features, heads, causal: false, bias: true }
    }

    /// The same, where a position sees only itself and those before it.
    #[must_use]
    pub fn causal(self) -> Self {
        SelfAttention { causal: true, ..self }
    }

    /// The same without biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        SelfAttention { bias: false, ..self }
    }

    fn multihead(&self) -> MultiheadAttention {
        let SelfAttention { features, heads, causal, bias } = *self;
        MultiheadAttention { causal, bias, ..MultiheadAttention::new(features, heads) }
    }
}

described! {
    impl SelfAttention as &["self_attention"];
    features: "features", heads: "heads", causal: "causal" = false, bias: "bias" = true,
}

/// A [`SelfAttention`] layer with biases.
pub fn self_attention(features: usize, heads: usize, causal: bool) -> Box<dyn Layer> {
    SelfAttention { causal, ..SelfAttention::new(features, heads) }.boxed()
}

impl Layer for SelfAttention {
    fn name(&self) -> String {
        format!("self_attention {} features, {} heads", self.features, self.heads)
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.multihead().params()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        self.multihead().divided()?;
        match *input {
            [t, f] if t > 0 && f == self.features => Ok(input.to_vec()),
            _ => {
                let reason = format!(
                    "needs samples [T, {}], but a sample has shape {input:?}",
                    self.features
                );
                Err(ShapeError::new(self.name(), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        self.multihead().record(recorder, state, x)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        self.multihead().nodes(writer, arrays, x)
    }
}
