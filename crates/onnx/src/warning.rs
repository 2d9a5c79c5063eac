//! What a file shows of having been changed on its way.

use std::fmt;

/// Something about a file that makes its parameters others than the network's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Weights without a name of their own: transposed or otherwise changed by the exporter.
    Renamed {
        /// Their names in the file.
        names: Vec<String>,
    },
    /// Convolutions that batch norm was folded into: their weights are others than the network's,
    /// and the parameters of batch norm are gone.
    Folded {
        /// The convolutions' weights.
        weights: Vec<String>,
    },
    /// Arrays that the exporter computed from others ahead of time: where these were parameters,
    /// they are gone.
    Computed {
        /// The arrays, and what they were computed from.
        arrays: Vec<(String, Vec<String>)>,
    },
    /// Arrays without a name of their own that the output has a derivative in, taken for
    /// constants: parameters could be among them.
    Unnamed {
        /// Their names in the file.
        names: Vec<String>,
    },
    /// A batch axis of one fixed length: what mixes samples can't be found by running the file on
    /// several.
    FixedBatch {
        /// The length.
        samples: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = "export with `dynamo=True, optimize=False`";
        match self {
            Warning::Renamed { names } => write!(
                f,
                "the exporter renamed or transposed weights ({}); {option}, or find the names with \
                 `names_from`",
                names.join(", ")
            ),
            Warning::Folded { weights } => write!(
                f,
                "the exporter seems to have folded batch norm into convolutions ({}): their \
                 weights are others than the network's, and so is its curvature; {option}",
                weights.join(", ")
            ),
            Warning::Computed { arrays } => {
                let each =
                    arrays.iter().map(|(name, from)| format!("{name} of {}", from.join(", ")));
                write!(
                    f,
                    "the exporter computed arrays ahead of time ({}): parameters among what they \
                     were computed from are constants here; {option}",
                    each.collect::<Vec<_>>().join("; ")
                )
            }
            Warning::Unnamed { names } => write!(
                f,
                "arrays without a name of their own are taken for constants ({}), but may have \
                 been parameters; {option}, choose them by `with_params`, or find the names with \
                 `names_from`",
                names.join(", ")
            ),
            Warning::FixedBatch { samples } => write!(
                f,
                "the file is for exactly {samples} sample{}: whether it mixes samples can't be \
                 checked by running it on others; compare with the network's own output, or export \
                 with a free batch axis",
                if *samples == 1 { "" } else { "s" }
            ),
        }
    }
}
