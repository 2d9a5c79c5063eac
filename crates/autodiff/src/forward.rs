//! The forward sweep (JVP): tangents `[K, *]` travel from the parameters to the output.

use vivit_tensor::{Backend, Tensor};

use crate::tape::Origin;
use crate::{Error, Graph, Io, ParamMap, Var};

impl<B: Backend> Graph<B> {
    /// `J·t`: tangents `[K, *p]` of some parameters (the others do not move) to `[K, N, *out]`.
    ///
    /// # Errors
    /// If a tangent does not fit its parameter, or they differ in number.
    pub fn jvp(&self, tangents: &ParamMap<Tensor<B>>) -> Result<Tensor<B>, Error> {
        let tape = self.tape();
        let mut k = None;
        for (var, tangent) in tangents.iter() {
            self.check_param(var)?;
            let expected = *tape.value(var).shape();
            let got = *tangent.shape();
            let fits = got.rank() == expected.rank() + 1 && got.tail() == expected && got[0] == *k.get_or_insert(got[0]);
            if !fits {
                return Err(Error::TangentShape {
                    name: tape.param_name(var)?.into(),
                    got: got.to_vec(),
                    expected: expected.to_vec(),
                });
            }
        }
        let wanted: Vec<Var> = tangents.iter().map(|(var, _)| var).collect();
        let path = self.path_to(&wanted);
        let mut moved: Vec<Option<Tensor<B>>> = vec![None; tape.nodes.len()];
        for (var, tangent) in tangents.iter() {
            moved[var.index()] = Some(tangent.clone());
        }
        for at in (0..=self.output().index()).filter(|&at| path[at]) {
            let node = &tape.nodes[at];
            let Origin::Op(op) = &node.origin else { continue };
            let args: Vec<&Tensor<B>> = node.args.iter().map(|&arg| tape.value(arg)).collect();
            let batched: Vec<bool> = node.args.iter().map(|&arg| tape.is_batched(arg)).collect();
            let io = Io { args: &args, out: &node.value, batched: &batched };
            let mut sum: Option<Tensor<B>> = None;
            for (wrt, arg) in node.args.iter().enumerate() {
                let Some(tangent) = &moved[arg.index()] else { continue };
                let product = op.jac(io, wrt, tangent);
                match &mut sum {
                    Some(sum) => sum.axpy(1.0, &product),
                    empty => *empty = Some(product),
                }
            }
            moved[at] = sum;
        }
        let shape = self.value().shape().prefixed(&[k.unwrap_or(0)]);
        Ok(moved[self.output().index()].take().unwrap_or_else(|| Tensor::zeros(tape.backend(), shape)))
    }
}
