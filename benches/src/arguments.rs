//! The command line of one measurement.

use vivit::DeviceChoice;
use vivit::tensor::DType;

/// How to call the program.
pub const USAGE: &str = "\
usage: bench NET TASK N [OPTIONS]

  NET    demo, mlp, net2c2d, net3c3d, allcnnc, resnet32, resnet56, language_model, \
vision_transformer
  TASK   grad      gradient of the loss
         eigvalsh  all eigenvalues of the GGN
         eigh      the K largest eigenvalues with eigenvectors in parameter space
         dd        directional derivatives of every sample along the top K directions
         newton    damped Newton step along the top K directions
         batch_grad, batch_l2, variance
                   gradient of every sample; their squared norms; their variance
         diag_ggn, diag_ggn_mc, diag_hessian
                   diagonals of the GGN, exact and with one Monte-Carlo draw, and of the Hessian
         kfac, kflr
                   Kronecker factors, with one Monte-Carlo draw and exact
         ggnvp, hvp
                   one product with the GGN or the Hessian, linearisation included
         ntk       the whole tangent kernel
  N      number of samples

  --classes C   outputs, for networks that end in a linear layer (their own)
  --k K         directions (10; demo: 4)
  --mc M        Monte-Carlo GGN of M draws (exact)
  --sub S       GGN of the first S samples (all)
  --memory MB   memory budget of the GGN, in 10⁶ bytes (three quarters of the machine's)
  --reps R      timed repetitions, after one that is not (5)
  --threads T   threads (one per core)
  --dtype D     f32 or f64 (f32)
  --device D    cpu or opencl[:DEVICE] (cpu)
";

/// A reference network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// The MLP 7-5-5-3 with squared error.
    Demo,
    /// The MLP 784-512-256-10.
    Mlp,
    /// DeepOBS's 2c2d.
    Net2c2d,
    /// DeepOBS's 3c3d.
    Net3c3d,
    /// All-CNN-C, 100 classes.
    AllCnnC,
    /// ResNet32 in evaluation mode.
    ResNet32,
    /// ResNet56 in evaluation mode.
    ResNet56,
    /// A small causal language model.
    LanguageModel,
    /// A small vision transformer.
    VisionTransformer,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The gradient.
    Grad,
    /// All eigenvalues of the GGN.
    Eigvalsh,
    /// The K largest eigenvalues and their eigenvectors in parameter space.
    Eigh,
    /// Directional derivatives along the top K directions.
    Dd,
    /// The damped Newton step along the top K directions.
    Newton,
    /// The gradient of every sample.
    BatchGrad,
    /// The squared norm of every sample's gradient.
    BatchL2,
    /// The variance of the samples' gradients.
    Variance,
    /// The GGN's diagonal.
    DiagGgn,
    /// The GGN's diagonal from one Monte-Carlo draw.
    DiagGgnMc,
    /// The Hessian's diagonal.
    DiagHessian,
    /// Kronecker factors from one Monte-Carlo draw.
    Kfac,
    /// Exact Kronecker factors.
    Kflr,
    /// One product with the GGN.
    Ggnvp,
    /// One product with the Hessian.
    Hvp,
    /// The whole tangent kernel.
    Ntk,
}

/// Choices with their names on the command line.
trait Named: Copy + PartialEq + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, choice)| *choice == self);
        found.expect("every choice has a row").0
    }

    fn parse(argument: &str, value: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == value);
        found.map(|&(_, choice)| choice).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|&(name, _)| name).collect();
            format!("{argument} is {value:?}; it must be one of {}", names.join(", "))
        })
    }
}

impl Named for Net {
    const ALL: &'static [(&'static str, Self)] = &[
        ("demo", Net::Demo),
        ("mlp", Net::Mlp),
        ("net2c2d", Net::Net2c2d),
        ("net3c3d", Net::Net3c3d),
        ("allcnnc", Net::AllCnnC),
        ("resnet32", Net::ResNet32),
        ("resnet56", Net::ResNet56),
        ("language_model", Net::LanguageModel),
        ("vision_transformer", Net::VisionTransformer),
    ];
}

impl Named for Task {
    const ALL: &'static [(&'static str, Self)] = &[
        ("grad", Task::Grad),
        ("eigvalsh", Task::Eigvalsh),
        ("eigh", Task::Eigh),
        ("dd", Task::Dd),
        ("newton", Task::Newton),
        ("batch_grad", Task::BatchGrad),
        ("batch_l2", Task::BatchL2),
        ("variance", Task::Variance),
        ("diag_ggn", Task::DiagGgn),
        ("diag_ggn_mc", Task::DiagGgnMc),
        ("diag_hessian", Task::DiagHessian),
        ("kfac", Task::Kfac),
        ("kflr", Task::Kflr),
        ("ggnvp", Task::Ggnvp),
        ("hvp", Task::Hvp),
        ("ntk", Task::Ntk),
    ];
}

impl Named for DType {
    const ALL: &'static [(&'static str, Self)] = &[("f32", DType::F32), ("f64", DType::F64)];
}

impl Net {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        Named::name(self)
    }

    /// Inputs of the last layer, where that is a linear one whose outputs are the classes.
    pub fn last_inputs(self) -> Option<usize> {
        match self {
            Net::Demo => Some(5),
            Net::Mlp | Net::Net3c3d => Some(256),
            Net::Net2c2d => Some(1024),
            _ => None,
        }
    }

    /// Directions that a task uses unless told otherwise.
    pub fn directions(self) -> usize {
        if self == Net::Demo { 4 } else { 10 }
    }
}

impl Task {
    /// Every task.
    pub fn all() -> impl Iterator<Item = Task> {
        Self::ALL.iter().map(|&(_, task)| task)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        Named::name(self)
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The network.
    pub net: Net,
    /// What is computed.
    pub task: Task,
    /// Number of samples.
    pub samples: usize,
    /// Number of outputs; `None` for the network's own.
    pub classes: Option<usize>,
    /// Number of directions.
    pub k: usize,
    /// Draws of the Monte-Carlo GGN; `None` for the exact one.
    pub draws: Option<usize>,
    /// Number of the GGN's samples, the first ones; `None` for all.
    pub sub: Option<usize>,
    /// Memory budget of the GGN in 10⁶ bytes; `None` for the library's default.
    pub memory: Option<usize>,
    /// Timed repetitions.
    pub reps: usize,
    /// Number of threads; `None` for one per core.
    pub threads: Option<usize>,
    /// The precision.
    pub dtype: DType,
    /// The device.
    pub device: DeviceChoice,
}

impl Arguments {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// A message that names the argument, its value and what is allowed.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut places, mut options) = (Vec::new(), Vec::new());
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if !arg.starts_with('-') {
                places.push(arg);
                continue;
            }
            let known = [
                "--classes",
                "--k",
                "--mc",
                "--sub",
                "--memory",
                "--reps",
                "--threads",
                "--dtype",
                "--device",
            ];
            let Some(&option) = known.iter().find(|known| **known == arg) else {
                return Err(format!("there is no option {arg:?}; there are {}", known.join(", ")));
            };
            let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
            if options.iter().any(|(other, _)| *other == option) {
                return Err(format!(
                    "{option} is given twice, the second time as {value:?}; give it once"
                ));
            }
            options.push((option, value));
        }
        let [net, task, samples] = places.as_slice() else {
            return Err(format!(
                "three arguments are needed, NET TASK N, but there are {}: {places:?}",
                places.len()
            ));
        };
        let value = |option: &str| {
            options.iter().find(|(other, _)| *other == option).map(|(_, value)| value.as_str())
        };
        let number = |option: &str| value(option).map(|value| positive(option, value)).transpose();
        let (net, samples) = (Net::parse("NET", net)?, positive("N", samples)?);
        let sub = number("--sub")?;
        if let Some(sub) = sub.filter(|&sub| sub > samples) {
            return Err(format!("--sub is {sub}; it must be at most N, which is {samples}"));
        }
        let classes = number("--classes")?;
        if let Some(classes) = classes.filter(|_| net.last_inputs().is_none()) {
            let able: Vec<&str> = Net::ALL
                .iter()
                .filter(|(_, net)| net.last_inputs().is_some())
                .map(|&(name, _)| name)
                .collect();
            return Err(format!(
                "--classes is {classes}, but {} does not end in a linear layer; {} do",
                net.name(),
                able.join(", ")
            ));
        }
        Ok(Arguments {
            net,
            classes,
            task: Task::parse("TASK", task)?,
            samples,
            k: number("--k")?.unwrap_or(net.directions()),
            draws: number("--mc")?,
            sub,
            memory: number("--memory")?,
            reps: number("--reps")?.unwrap_or(5),
            threads: number("--threads")?,
            dtype: <DType as Named>::parse("--dtype", value("--dtype").unwrap_or("f32"))?,
            device: value("--device")
                .map_or(Ok(DeviceChoice::Cpu), str::parse)
                .map_err(|error| format!("--device: {error}"))?,
        })
    }
}

fn positive(argument: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{argument} is {value:?}; it must be a whole number, at least 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn defaults_are_those_of_the_usage_text() {
        let expected = Arguments {
            net: Net::Net3c3d,
            task: Task::Dd,
            samples: 128,
            classes: None,
            k: 10,
            draws: None,
            sub: None,
            memory: None,
            reps: 5,
            threads: None,
            dtype: DType::F32,
            device: DeviceChoice::Cpu,
        };
        assert_eq!(parse("net3c3d dd 128").unwrap(), expected);
        assert_eq!(parse("demo grad 4").unwrap().k, 4);
    }

    #[test]
    fn options_may_stand_anywhere() {
        let expected = Arguments {
            net: Net::Mlp,
            task: Task::Newton,
            samples: 32,
            classes: Some(7),
            k: 3,
            draws: Some(1),
            sub: Some(8),
            memory: Some(500),
            reps: 2,
            threads: Some(1),
            dtype: DType::F64,
            device: DeviceChoice::Cpu,
        };
        assert_eq!(
            parse(
                "--k 3 mlp --classes 7 --mc 1 newton 32 --sub 8 --memory 500 --reps 2 --threads \
                   1 --dtype f64"
            )
            .unwrap(),
            expected
        );
    }

    #[test]
    fn every_choice_has_its_name() {
        for &(name, net) in Net::ALL {
            assert_eq!((net.name(), parse(&format!("{name} grad 1")).unwrap().net), (name, net));
        }
        for &(name, task) in Task::ALL {
            assert_eq!((task.name(), parse(&format!("demo {name} 1")).unwrap().task), (name, task));
        }
        for &(name, dtype) in <DType as Named>::ALL {
            assert_eq!(
                (dtype.name(), parse(&format!("demo grad 1 --dtype {name}")).unwrap().dtype),
                (name, dtype)
            );
        }
    }

    /// The message names the argument, the value and what is allowed.
    #[track_caller]
    fn refused(line: &str, parts: &[&str]) {
        let message = parse(line).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        refused("resnet grad 4", &["NET", "\"resnet\"", "demo, mlp, net2c2d, net3c3d"]);
        refused(
            "mlp hessian 4",
            &["TASK", "\"hessian\"", "grad, eigvalsh, eigh, dd, newton, batch_grad"],
        );
        refused("mlp grad many", &["N", "\"many\"", "at least 1"]);
        refused("mlp grad 0", &["N", "\"0\"", "at least 1"]);
        refused("mlp grad 4 --classes 0", &["--classes", "\"0\"", "at least 1"]);
        refused(
            "resnet32 grad 4 --classes 5",
            &["--classes", "5", "resnet32", "demo, mlp, net2c2d, net3c3d"],
        );
        refused("mlp grad 4 --k 0", &["--k", "\"0\"", "at least 1"]);
        refused("mlp grad 4 --k -1", &["--k", "\"-1\"", "at least 1"]);
        refused("mlp grad 4 --mc x", &["--mc", "\"x\"", "at least 1"]);
        refused("mlp grad 4 --memory 0", &["--memory", "\"0\"", "at least 1"]);
        refused("mlp grad 4 --sub 5", &["--sub", "5", "at most N", "4"]);
        refused("mlp grad 4 --dtype f16", &["--dtype", "\"f16\"", "f32, f64"]);
        refused("mlp grad 4 --device gpu", &["--device", "\"gpu\"", "cpu or opencl"]);
        refused("mlp grad 4 --fast", &["\"--fast\"", "--threads"]);
        refused("mlp grad 4 --reps", &["--reps", "value"]);
        refused("mlp grad 4 --k 1 --k 2", &["--k", "twice", "\"2\""]);
        refused("mlp grad", &["NET TASK N", "2"]);
        refused("mlp grad 4 5", &["NET TASK N", "4"]);
    }
}
