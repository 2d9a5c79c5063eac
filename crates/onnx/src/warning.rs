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
