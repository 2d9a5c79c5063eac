//! Layers that exporters write as several nodes, found again: what is one operation of the network
//! is one operation on the tape.
//!
//! Nodes whose results nobody reads any more are left to [`needed`].

use std::collections::HashMap;

use vivit_nn::{Argument, NamedArray, Node};

/// Nodes, who makes and who reads each value, and arrays of the file.
struct Graph<'g> {
    nodes: Vec<Node>,
    makers: HashMap<String, usize>,
    /// How many arguments, and outputs of the model, a value is.
    readers: HashMap<String, usize>,
    arrays: HashMap<&'g str, &'g NamedArray>,
}

/// The nodes with layers found again; `outputs` are the model's.
pub(crate) fn recovered<'g>(
    nodes: Vec<Node>,
    arrays: impl Iterator<Item = &'g NamedArray>,
    outputs: &[String],
) -> Vec<Node> {
    let mut makers = HashMap::new();
    let mut readers: HashMap<String, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        makers.extend(node.outputs.iter().map(|name| (name.clone(), at)));
        for argument in node.inputs.iter().flatten() {
            if let Argument::Value(name) = argument {
                *readers.entry(name.clone()).or_default() += 1;
            }
        }
    }
    outputs.iter().for_each(|name| *readers.entry(name.clone()).or_default() += 1);
    let arrays = arrays.map(|array| (array.name.as_str(), array)).collect();
    let mut graph = Graph { nodes, makers, readers, arrays };
    for at in 0..graph.nodes.len() {
        if let Some(node) = graph.layer(at) {
            graph.nodes[at] = node;
        }
    }
    needed(graph.nodes, outputs)
}

/// Those nodes that the outputs depend on, in any order: all of a cycle, too, and every one of
/// several that claim a name.
fn needed(nodes: Vec<Node>, outputs: &[String]) -> Vec<Node> {
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        node.outputs.iter().for_each(|name| makers.entry(name).or_default().push(at));
    }
    let made = |name: &str| makers.get(name).into_iter().flatten().copied();
    let mut kept = vec![false; nodes.len()];
    let mut open: Vec<usize> = outputs.iter().flat_map(|name| made(name)).collect();
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut kept[at], true) {
            continue;
        }
        for argument in nodes[at].inputs.iter().flatten() {
            if let Argument::Value(name) = argument {
                open.extend(made(name));
            }
        }
    }
    let mut kept = kept.into_iter();
    nodes.into_iter().filter(|_| kept.next() == Some(true)).collect()
}

impl Graph<'_> {
    /// The layer that ends with a node, if one does.
    fn layer(&self, at: usize) -> Option<Node> {
        let node = &self.nodes[at];
        let [output] = &node.outputs[..] else { return None };
        let found = match node.op.as_str() {
            "add" => self.linear(node),
            "mul" => self.gelu(node).or_else(|| self.gated(node)).or_else(|| self.rms_norm(node)),
            "div" => self.rms_norm_by_division(node),
            _ => None,
        }?;
        Some(found.named(&node.name).giving(vec![output.clone()]))
    }

    /// The name of an argument.
    fn name<'n>(&self, node: &'n Node, at: usize) -> Option<&'n str> {
        match node.inputs.get(at)?.as_ref()? {
            Argument::Value(name) => Some(name),
            _ => None,
        }
    }

    /// The node of an operation that makes a value.
    fn made_by(&self, name: &str, op: &str) -> Option<&Node> {
        let node = &self.nodes[*self.makers.get(name)?];
        (node.op == op).then_some(node)
    }

    /// As [`made_by`](Graph::made_by), if nobody else reads the value.
    fn inner(&self, name: &str, op: &str) -> Option<&Node> {
        self.made_by(name, op).filter(|_| self.readers.get(name) == Some(&1))
    }

    /// Both orders of a node's two arguments.
    fn pairs<'n>(&self, node: &'n Node) -> Option<[(&'n str, &'n str); 2]> {
        let (a, b) = (self.name(node, 0)?, self.name(node, 1)?);
        Some([(a, b), (b, a)])
    }

    /// The number that a value is, if it is one of the file, possibly cast.
    fn number(&self, name: &str) -> Option<f64> {
        if let Some(array) = self.arrays.get(name) {
            return (array.values.len() == 1).then(|| array.values.at(0));
        }
        let node = &self.nodes[*self.makers.get(name)?];
        ["cast", "cast_like", "identity"]
            .contains(&node.op.as_str())
            .then(|| self.number(self.name(node, 0)?))?
    }

    fn is_number(&self, name: &str, number: f64) -> bool {
        // The file has it in single precision.
        self.number(name).is_some_and(|found| (found - number).abs() <= 1e-6 * number.abs())
    }

    fn rank(&self, name: &str) -> Option<usize> {
        self.arrays.get(name).map(|array| array.shape.len())
    }

    /// `x · Wᵀ + b` with matrices and vectors of the file.
    fn linear(&self, node: &Node) -> Option<Node> {
        self.pairs(node)?.into_iter().find_map(|(product, bias)| {
            let matmul = self.inner(product, "matmul")?;
            let turned = self.made_by(self.name(matmul, 1)?, "transpose")?;
            let weight = self.name(turned, 0)?;
            let fits = self.rank(weight) == Some(2)
                && self.rank(bias) == Some(1)
                && self.arrays[weight].shape[0] == self.arrays[bias].shape[0]
                && self.arrays[bias].shape[0] > 1;
            let x = self.name(matmul, 0)?;
            fits.then(|| Node::new("linear", &[x, weight, bias], ""))
        })
    }

    /// The factors of a product of products that nobody else reads.
    fn factors<'n>(&'n self, node: &'n Node, factors: &mut Vec<&'n str>) -> Option<()> {
        for at in 0..2 {
            let name = self.name(node, at)?;
            match self.inner(name, "mul").filter(|_| factors.len() < 4) {
                Some(inner) => self.factors(inner, factors)?,
                None => factors.push(name),
            }
        }
        Some(())
    }

    /// `x/2 (1 + erf(x/√2))`, its factors in any order.
    fn gelu(&self, node: &Node) -> Option<Node> {
        let mut factors = Vec::new();
        self.factors(node, &mut factors)?;
        let half = factors.iter().position(|name| self.is_number(name, 0.5))?;
        factors.remove(half);
        let [a, b] = factors[..] else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, bump)| {
            let sum = self.inner(bump, "add")?;
            let pairs = self.pairs(sum)?;
            let (erf, _) = pairs.into_iter().find(|(_, one)| self.is_number(one, 1.0))?;
            let argument = self.name(self.inner(erf, "erf")?, 0)?;
            let root = std::f64::consts::SQRT_2;
            let divided = self.made_by(argument, "div").is_some_and(|div| {
                self.name(div, 0) == Some(x)
                    && self.name(div, 1).is_some_and(|by| self.is_number(by, root))
            });
            let multiplied = self.made_by(argument, "mul").is_some_and(|mul| {
                let pairs = self.pairs(mul).into_iter().flatten();
                pairs.into_iter().any(|(a, b)| a == x && self.is_number(b, 1.0 / root))
            });
            (divided || multiplied).then(|| Node::new("gelu", &[x], ""))
        })
    }

    /// `x σ(x)`, and `x tanh(softplus(x))`.
    fn gated(&self, node: &Node) -> Option<Node> {
        self.pairs(node)?.into_iter().find_map(|(x, gate)| {
            let is_of_x = |node: &&Node| self.name(node, 0) == Some(x);
            if self.inner(gate, "sigmoid").filter(is_of_x).is_some() {
                return Some(Node::new("silu", &[x], ""));
            }
            let soft = self.name(self.inner(gate, "tanh")?, 0)?;
            let plain = |node: &&Node| node.attributes.is_empty() && is_of_x(node);
            self.inner(soft, "softplus").filter(plain)?;
            Some(Node::new("mish", &[x], ""))
        })
    }

    /// `x / √(mean(x²) + ε)` as a product with a reciprocal.
    fn rms_norm(&self, node: &Node) -> Option<Node> {
        self.pairs(node)?.into_iter().find_map(|(x, inverse)| {
            let shifted = match self.inner(inverse, "reciprocal") {
                Some(reciprocal) => self.inner(self.name(reciprocal, 0)?, "sqrt")?,
                None => self.inner(inverse, "rsqrt")?,
            };
            self.root_mean_square(x, self.name(shifted, 0)?)
        })
    }

    /// `x / √(mean(x²) + ε)` as a quotient.
    fn rms_norm_by_division(&self, node: &Node) -> Option<Node> {
        let root = self.inner(self.name(node, 1)?, "sqrt")?;
        self.root_mean_square(self.name(node, 0)?, self.name(root, 0)?)
    }

    /// The norm of x, if `shifted` is `mean(x²) + ε` over the last axis.
    fn root_mean_square(&self, x: &str, shifted: &str) -> Option<Node> {
        let sum = self.inner(shifted, "add")?;
        let (mean, epsilon) = self
            .pairs(sum)?
            .into_iter()
            .find_map(|(mean, epsilon)| Some((mean, self.number(epsilon)?)))?;
        let mean = self.inner(mean, "mean")?;
        let last = self.last_axis_alone(mean) && mean.attributes.get("keep") == Some(&true.into());
        let square = self.name(mean, 0)?;
        let squared = match self.inner(square, "pow") {
            Some(pow) => {
                self.name(pow, 0) == Some(x)
                    && self.name(pow, 1).is_some_and(|two| self.is_number(two, 2.0))
            }
            None => self
                .inner(square, "mul")
                .is_some_and(|mul| self.name(mul, 0) == Some(x) && self.name(mul, 1) == Some(x)),
        };
        let known = last && squared && epsilon >= 0.0;
        known.then(|| Node::new("rms_norm", &[x], "").with("axis", -1).with("epsilon", epsilon))
    }

    /// Whether a reduction is over the axis −1 and no other.
    fn last_axis_alone(&self, node: &Node) -> bool {
        match node.inputs.get(1).and_then(Option::as_ref) {
            Some(Argument::Value(name)) => self.is_number(name, -1.0),
            Some(Argument::Integers(axes)) => axes == &[-1],
            Some(Argument::Number(_)) => false,
            None => node.attributes.get("axes") == Some(&vec![-1].into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: Vec<Node>, arrays: &[NamedArray]) -> Vec<String> {
        let found = recovered(nodes, arrays.iter(), &["y".to_string()]);
        found.into_iter().map(|node| node.op).collect()
    }

    fn number(name: &str, value: f64) -> NamedArray {
        NamedArray::new(name, &[], vec![f64::from(value as f32)])
    }

    #[test]
    fn layers_are_found() {
        let weight = NamedArray::new("w", &[3, 2], vec![0.0; 6]);
        let bias = NamedArray::new("b", &[3], vec![0.0; 3]);
        let linear = vec![
            Node::new("transpose", &["w"], "t").with("order", vec![1, 0]),
            Node::new("matmul", &["x", "t"], "p"),
            Node::new("add", &["p", "b"], "y"),
        ];
        assert_eq!(of(linear, &[weight, bias]), ["linear"]);

        let gelu = vec![
            Node::new("div", &["x", "root"], "scaled"),
            Node::new("erf", &["scaled"], "erf"),
            Node::new("add", &["erf", "one"], "bump"),
            Node::new("mul", &["x", "bump"], "product"),
            Node::new("mul", &["product", "half"], "y"),
        ];
        let numbers =
            [number("root", std::f64::consts::SQRT_2), number("one", 1.0), number("half", 0.5)];
        assert_eq!(of(gelu, &numbers), ["gelu"]);

        let silu = vec![Node::new("sigmoid", &["x"], "s"), Node::new("mul", &["x", "s"], "y")];
        assert_eq!(of(silu, &[]), ["silu"]);

        let norm = vec![
            Node::new("pow", &["x", "two"], "squares"),
            Node::new("mean", &["squares", "axis"], "mean").with("keep", true),
            Node::new("add", &["mean", "small"], "shifted"),
            Node::new("sqrt", &["shifted"], "root"),
            Node::new("reciprocal", &["root"], "inverse"),
            Node::new("mul", &["x", "inverse"], "y"),
        ];
        let numbers = [number("two", 2.0), number("small", 1e-6), number("axis", -1.0)];
        assert_eq!(of(norm, &numbers), ["rms_norm"]);
    }

    #[test]
    fn what_someone_else_reads_stays() {
        let gate = vec![
            Node::new("sigmoid", &["x"], "s"),
            Node::new("mul", &["x", "s"], "product"),
            Node::new("add", &["product", "s"], "y"),
        ];
        assert_eq!(of(gate, &[]), ["sigmoid", "mul", "add"]);
    }
}
