//! Reference networks of the field, as rows of layers.

use vivit_tensor::Backend;

use crate::{Conv2d, Layer, conv2d, flatten, linear, max_pool2d, relu, zero_pad2d};

/// A named network: its layers and the shapes around them.
#[derive(Debug)]
pub struct Network<B: Backend> {
    /// The layers.
    pub layers: Vec<Box<dyn Layer<B>>>,
    /// Shape of one input sample.
    pub input: Vec<usize>,
    /// Number of outputs.
    pub classes: usize,
}

/// The MLP 7-5-5-3 with ReLU of ViViT's introductory example.
pub fn demo<B: Backend>() -> Network<B> {
    Network { layers: vec![linear(7, 5), relu(), linear(5, 5), relu(), linear(5, 3)], input: vec![7], classes: 3 }
}

/// An MLP 784-512-256-10 with ReLU (535,818 parameters).
pub fn mlp<B: Backend>() -> Network<B> {
    let layers = vec![flatten(), linear(784, 512), relu(), linear(512, 256), relu(), linear(256, 10)];
    Network { layers, input: vec![1, 28, 28], classes: 10 }
}

/// DeepOBS's 2c2d for Fashion-MNIST (3,274,634 parameters).
pub fn net2c2d<B: Backend>() -> Network<B> {
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
    Network { layers, input: vec![1, 28, 28], classes: 10 }
}

/// DeepOBS's 3c3d for CIFAR-10 (895,210 parameters).
pub fn net3c3d<B: Backend>() -> Network<B> {
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
    Network { layers, input: vec![3, 32, 32], classes: 10 }
}
