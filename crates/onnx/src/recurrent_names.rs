//! The names of a state dictionary for the weights of recurrent layers.
//!
//! ONNX keeps the weights of a layer's directions in one array, `[D, G·H, I]`, and its biases in
//! one, `[D, 2·G·H]`, the gates in an order of its own; PyTorch has an array for each direction,
//! and for each of the two biases.

use std::collections::HashSet;

use vivit_nn::{Argument, NamedArray, Node};

use crate::arrays::Initializer;
use crate::dictionary::{Dictionary, NameMatch, bits};
use crate::import::Imported;

/// Names the weights of recurrent layers whose arrays all are in the dictionary.
pub(crate) fn name_recurrent(
    imported: &mut Imported,
    dictionary: &mut Dictionary,
    found: &mut NameMatch,
) {
    for at in 0..imported.nodes.len() {
        if imported.nodes[at].op != "recurrent" {
            continue;
        }
        let Some(layer) = Layer::of(imported, at) else { continue };
        let Some(names) = layer.names(dictionary) else { continue };
        layer.rewrite(imported, names, found);
    }
    let gone: HashSet<&String> = found.assembled.iter().map(|(was, _)| was).collect();
    // The nodes that shaped biases, and the arrays that nothing reads any more.
    let used = read(imported);
    imported.nodes.retain(|node| {
        let of_gone = node.inputs.iter().flatten().filter_map(name).any(|x| gone.contains(&x));
        !of_gone || node.outputs.iter().any(|name| used.contains(name))
    });
    let used = read(imported);
    let stays = |name: &String| used.contains(name) || !gone.contains(name);
    imported.initializers.retain(|initializer| stays(&initializer.array.name));
    imported.params.retain(stays);
}

/// The names that nodes read, and the outputs.
fn read(imported: &Imported) -> HashSet<String> {
    let outputs = imported.interface_outputs.iter().map(|output| output.name.clone());
    let arguments = imported.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
    arguments.filter_map(name).chain(outputs).collect()
}

fn name(argument: &Argument) -> Option<String> {
    match argument {
        Argument::Value(name) => Some(name.clone()),
        _ => None,
    }
}

/// An array of PyTorch's: one direction's weight, or one of its biases.
struct Part {
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

/// A recurrent node, and its arrays cut into PyTorch's.
struct Layer {
    node: usize,
    /// Weights, recurrent weights and biases, as far as there are: the argument, the array's name,
    /// its parts by directions.
    arrays: Vec<(usize, String, Vec<Part>)>,
}

impl Layer {
    fn of(imported: &Imported, node: usize) -> Option<Self> {
        let recurrent = &imported.nodes[node];
        let gates: Vec<usize> = (recurrent.attributes.get("gates")?.as_array()?.iter())
            .map(|gate| gate.as_u64().map(|gate| gate as usize))
            .collect::<Option<_>>()?;
        let mut arrays = Vec::new();
        for at in 1..=3 {
            let Some(argument) = recurrent.inputs.get(at).and_then(Option::as_ref) else {
                continue;
            };
            let mut source = name(argument)?;
            if at == 3 {
                // Biases are reshaped first.
                let reshape = imported.nodes.iter().find(|node| node.outputs.contains(&source))?;
                source = name(reshape.inputs.first()?.as_ref()?)?;
            }
            let array = imported.initializers.iter().find(|i| i.array.name == source)?;
            arrays.push((at, source, parts(&array.array, &gates, at == 3)?));
        }
        Some(Layer { node, arrays })
    }

    /// The names of all parts, or nothing.
    fn names(&self, dictionary: &mut Dictionary) -> Option<Vec<Vec<String>>> {
        let numbers = |part: &Part| bits(&part.numbers.clone().into());
        let mut all = self.arrays.iter().flat_map(|(_, _, parts)| parts);
        if !all.all(|part| dictionary.find(&numbers(part), &part.shape).is_some()) {
            return None;
        }
        let mut name = |part: &Part| dictionary.take(&numbers(part), Some(&part.shape));
        self.arrays.iter().map(|(_, _, parts)| parts.iter().map(&mut name).collect()).collect()
    }

    /// Puts the arrays together from the dictionary's, in whose order the node takes gates.
    fn rewrite(self, imported: &mut Imported, names: Vec<Vec<String>>, found: &mut NameMatch) {
        let mut nodes = Vec::new();
        let mut recurrent = imported.nodes[self.node].clone();
        recurrent.attributes.remove("gates");
        for ((at, was, parts), names) in self.arrays.into_iter().zip(names) {
            let whole = format!("{was}~named");
            let directions = parts.len() / if at == 3 { 2 } else { 1 };
            for (part, name) in parts.into_iter().zip(&names) {
                let array = NamedArray::new(name, &part.shape, part.numbers);
                imported.initializers.push(Initializer { array, mark: None });
                imported.params.insert(name.clone());
            }
            nodes.extend(stacked(&names, directions, &whole));
            recurrent.inputs[at] = Some(whole.into());
            found.assembled.push((was, names));
        }
        imported.nodes[self.node] = recurrent;
        imported.nodes.splice(0..0, nodes);
    }
}

/// Arrays of rows, `[D, R, *]` from R-row arrays or `[D, 2, R]` from pairs of rows.
fn stacked(names: &[String], directions: usize, whole: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let front = |x: &str, y: &str| {
        let arguments = vec![Some(x.into()), Some(vec![0].into())];
        Node::new("unsqueeze", &[], y).taking(arguments)
    };
    let mut rows = Vec::new();
    for (direction, names) in names.chunks(names.len() / directions).enumerate() {
        let row = format!("{whole}#{direction}");
        if let [first, second] = names {
            let [a, b] = ["ih", "hh"].map(|part| format!("{row}{part}"));
            nodes.extend([front(first, &a), front(second, &b)]);
            let pair = format!("{row}pair");
            nodes.push(Node::new("concat", &[&a, &b], &pair).with("axis", 0));
            nodes.push(front(&pair, &row));
        } else {
            nodes.push(front(&names[0], &row));
        }
        rows.push(row);
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    nodes.push(Node::new("concat", &rows, whole).with("axis", 0));
    nodes
}

/// The parts of an array in PyTorch's order of gates: `[G·H, I]` of every direction of `[D, G·H,
/// I]`, or both `[G·H]` of every direction of biases `[D, 2·G·H]`.
fn parts(array: &NamedArray, gates: &[usize], is_bias: bool) -> Option<Vec<Part>> {
    let (directions, rows, columns) = match array.shape[..] {
        [directions, rows, columns] if !is_bias => (directions, rows, columns),
        [directions, rows] if is_bias && rows % 2 == 0 => (2 * directions, rows / 2, 1),
        _ => return None,
    };
    let height = rows / gates.len().max(1);
    let fits = height * gates.len() == rows && gates.iter().all(|&gate| gate < gates.len());
    if !fits || array.values.len() != directions * rows * columns {
        return None;
    }
    let part = |direction: usize| {
        let row = |gate: &usize| {
            let first = (direction * rows + gate * height) * columns;
            (first..first + height * columns).map(|at| array.values.at(at))
        };
        let numbers = gates.iter().flat_map(row).collect();
        let shape = if is_bias { vec![rows] } else { vec![rows, columns] };
        Part { shape, numbers }
    };
    Some((0..directions).map(part).collect())
}
