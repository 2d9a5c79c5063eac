//! Reference networks of the field, as rows of layers.

use crate::{
    Conv2d, Flatten, Join, Layer, avg_pool2d, batch_norm, branches, conv2d, embedding, flatten,
    gelu, layer_norm, linear, max_pool2d, mean_over, permute, positional_embedding, relu, residual,
    self_attention, zero_pad, zero_pad2d,
};

/// A named network: its layers and the shapes around them.
#[derive(Debug)]
pub struct Network {
    /// The layers.
    pub layers: Vec<Box<dyn Layer>>,
    /// Shape of one input sample.
    pub input: Vec<usize>,
    /// Size of the vocabulary, where inputs are whole numbers below it.
    pub vocabulary: Option<usize>,
    /// Number of outputs.
    pub classes: usize,
    /// Number of positions of a sample that are classified: 1, but for language models.
    pub positions: usize,
}

impl Network {
    fn new(layers: Vec<Box<dyn Layer>>, input: &[usize], classes: usize) -> Self {
        Network { layers, input: input.to_vec(), vocabulary: None, classes, positions: 1 }
    }
}

/// The MLP 7-5-5-3 with ReLU of ViViT's introductory example.
pub fn demo() -> Network {
    Network::new(vec![linear(7, 5), relu(), linear(5, 5), relu(), linear(5, 3)], &[7], 3)
}

/// An MLP 784-512-256-10 with ReLU (535,818 parameters).
pub fn mlp() -> Network {
    let layers =
        vec![flatten(), linear(784, 512), relu(), linear(512, 256), relu(), linear(256, 10)];
    Network::new(layers, &[1, 28, 28], 10)
}

/// DeepOBS's 2c2d for Fashion-MNIST (3,274,634 parameters).
pub fn net2c2d() -> Network {
    let layers = vec![
        Conv2d::new(1, 32, 5).padded(2).boxed(),
        relu(),
        max_pool2d(2, 2),
        Conv2d::new(32, 64, 5).padded(2).boxed(),
        relu(),
        max_pool2d(2, 2),
        flatten(),
        linear(3136, 1024),
        relu(),
        linear(1024, 10),
    ];
    Network::new(layers, &[1, 28, 28], 10)
}

/// DeepOBS's 3c3d for CIFAR-10 (895,210 parameters).
pub fn net3c3d() -> Network {
    let layers = vec![
        conv2d(3, 64, 5),
        relu(),
        zero_pad2d([0, 1, 0, 1]),
        max_pool2d(3, 2),
        conv2d(64, 96, 3),
        relu(),
        zero_pad2d([0, 1, 0, 1]),
        max_pool2d(3, 2),
        Conv2d::new(96, 128, 3).padded(1).boxed(),
        relu(),
        zero_pad2d([0, 1, 0, 1]),
        max_pool2d(3, 2),
        flatten(),
        linear(1152, 512),
        relu(),
        linear(512, 256),
        relu(),
        linear(256, 10),
    ];
    Network::new(layers, &[3, 32, 32], 10)
}

/// All-CNN-C for CIFAR-100 (Springenberg et al. 2015; 1,387,108 parameters).
pub fn allcnnc() -> Network {
    let conv = |inputs, outputs| Conv2d::new(inputs, outputs, 3).padded(1);
    let halving = |inputs, outputs| conv(inputs, outputs).strided(2);
    let convolutions = [
        conv(3, 96),
        conv(96, 96),
        halving(96, 96),
        conv(96, 192),
        conv(192, 192),
        halving(192, 192),
        Conv2d::new(192, 192, 3),
        Conv2d::new(192, 192, 1),
        Conv2d::new(192, 100, 1),
    ];
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    for convolution in convolutions {
        layers.extend([convolution.boxed(), relu()]);
    }
    layers.extend([avg_pool2d(6, 6), flatten()]);
    Network::new(layers, &[3, 32, 32], 100)
}

/// The CIFAR residual network with 32 layers, parameter-free shortcuts (He et al. 2016, option A;
/// 464,154 parameters). Batch norm makes it a network for evaluation mode wherever samples matter
/// one by one.
pub fn resnet32() -> Network {
    resnet(5)
}

/// The CIFAR residual network with 56 layers (853,018 parameters); otherwise as [`resnet32`].
pub fn resnet56() -> Network {
    resnet(9)
}

/// Three stages of `blocks` residual blocks with 16, 32 and 64 channels.
fn resnet(blocks: usize) -> Network {
    let conv = |inputs, outputs, stride| {
        Conv2d::new(inputs, outputs, 3).padded(1).strided(stride).without_bias().boxed()
    };
    let mut layers = vec![conv(3, 16, 1), batch_norm(16), relu()];
    let mut inputs = 16;
    for (stage, outputs) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let body = vec![
                conv(inputs, outputs, stride),
                batch_norm(outputs),
                relu(),
                conv(outputs, outputs, 1),
                batch_norm(outputs),
            ];
            // Every other pixel, and channels of zeros on both sides.
            let shortcut = if stride == 2 {
                let side = ((outputs - inputs) / 2) as isize;
                vec![avg_pool2d(1, 2), zero_pad(&[(side, side), (0, 0), (0, 0)])]
            } else {
                Vec::new()
            };
            layers.extend([branches(vec![shortcut, body], Join::Sum), relu()]);
            inputs = outputs;
        }
    }
    layers.extend([avg_pool2d(8, 8), flatten(), linear(64, 10)]);
    Network::new(layers, &[3, 32, 32], 10)
}

/// A transformer block before which the input is normalised: attention and a two-layer perceptron,
/// each around a shortcut.
fn transformer_block(features: usize, heads: usize, causal: bool) -> [Box<dyn Layer>; 2] {
    [
        residual(vec![layer_norm(&[features]), self_attention(features, heads, causal)]),
        residual(vec![
            layer_norm(&[features]),
            linear(features, 4 * features),
            gelu(),
            linear(4 * features, features),
        ]),
    ]
}

/// A small causal language model: 64 tokens of a vocabulary of 96, two transformer blocks of 64
/// features and 4 heads. Its outputs are `[N, 96, 64]`: a class per position.
pub fn language_model() -> Network {
    let (vocabulary, positions, features) = (96, 64, 64);
    let mut layers =
        vec![embedding(vocabulary, features), positional_embedding(positions, features)];
    for _ in 0..2 {
        layers.extend(transformer_block(features, 4, true));
    }
    layers.extend([layer_norm(&[features]), linear(features, vocabulary), permute(&[2, 1])]);
    Network {
        vocabulary: Some(vocabulary),
        positions,
        ..Network::new(layers, &[positions], vocabulary)
    }
}

/// A small vision transformer for `[3, 32, 32]` images: 64 patches of 4×4, two blocks of 64
/// features and 4 heads, 10 classes.
pub fn vision_transformer() -> Network {
    let features = 64;
    let patches = Conv2d::new(3, features, 4).strided(4).boxed();
    let mut layers: Vec<Box<dyn Layer>> = vec![
        patches,
        Flatten::new().from_axis(2).boxed(),
        permute(&[2, 1]),
        positional_embedding(64, features),
    ];
    for _ in 0..2 {
        layers.extend(transformer_block(features, 4, false));
    }
    layers.extend([layer_norm(&[features]), mean_over(1), linear(features, 10)]);
    Network::new(layers, &[3, 32, 32], 10)
}

/// The network of a name: `demo`, `mlp`, `net2c2d`, `net3c3d`, `allcnnc`, `resnet32`, `resnet56`,
/// `language_model`, `vision_transformer`.
pub fn by_name(name: &str) -> Option<Network> {
    Some(match name {
        "demo" => demo(),
        "mlp" => mlp(),
        "net2c2d" => net2c2d(),
        "net3c3d" => net3c3d(),
        "allcnnc" => allcnnc(),
        "resnet32" => resnet32(),
        "resnet56" => resnet56(),
        "language_model" => language_model(),
        "vision_transformer" => vision_transformer(),
        _ => return None,
    })
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 9] = [
    "demo",
    "mlp",
    "net2c2d",
    "net3c3d",
    "allcnnc",
    "resnet32",
    "resnet56",
    "language_model",
    "vision_transformer",
];
