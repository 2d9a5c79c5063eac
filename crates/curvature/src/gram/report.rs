//! What was contracted in which order, and what that cost.

use std::fmt;

use vivit_autodiff::{OuterDims, ParamId};

use super::cost::{ContractionCost, ContractionOrder};

/// How one parameter's share of a Gram matrix was contracted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GramRow {
    /// The parameter.
    pub param: ParamId,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: usize,
    /// Its entries.
    pub entries: usize,
    /// Columns of the symmetric part: those of V, and the gradient's behind them if it has the same
    /// samples.
    pub columns: usize,
    /// Samples.
    pub samples: usize,
    /// The lengths of its outer products' axes; `None` if it has no such structure.
    pub structure: Option<OuterDims>,
    /// The order of `VᵀV`.
    pub order: ContractionOrder,
    /// The order of `Vᵀg` where the gradient has other samples.
    pub cross: Option<ContractionOrder>,
    /// An order that was forced but that this parameter can't be contracted in.
    pub refused: Option<ContractionOrder>,
    /// The cost, of both parts together.
    pub cost: ContractionCost,
}

/// How every parameter's share was contracted, in the order of the sweep: the last layer first.
/// Displays as a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GramReport {
    pub(crate) rows: Vec<GramRow>,
}

impl GramReport {
    /// One row per parameter.
    pub fn rows(&self) -> &[GramRow] {
        &self.rows
    }

    /// The rows of a group's parameters.
    #[must_use]
    pub fn of_group(&self, group: usize) -> Self {
        GramReport { rows: self.rows.iter().filter(|row| row.group == group).cloned().collect() }
    }

    /// Multiply-adds of all parameters.
    pub fn multiply_adds(&self) -> f64 {
        self.rows.iter().map(|row| row.cost.multiply_adds).sum()
    }

    /// Most bytes of intermediate products that a parameter needs.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.cost.bytes).max().unwrap_or(0)
    }
}

impl fmt::Display for GramReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TITLES: [&str; 12] = [
            "parameter",
            "group",
            "entries",
            "columns",
            "samples",
            "G",
            "T",
            "O",
            "I",
            "order",
            "multiply-adds",
            "bytes",
        ];
        let mut table = vec![TITLES.map(String::from)];
        for row in &self.rows {
            let mut order = row.order.to_string();
            if let Some(cross) = row.cross.filter(|&cross| cross != row.order) {
                order += &format!(", {cross}");
            }
            if let Some(refused) = row.refused {
                order += &format!(" (not {refused})");
            }
            let of = |pick: fn(OuterDims) -> usize| {
                row.structure.map_or("-".into(), |d| pick(d).to_string())
            };
            let count = |x: usize| x.to_string();
            table.push([
                row.name.clone(),
                count(row.group),
                count(row.entries),
                count(row.columns),
                count(row.samples),
                of(|d| d.g),
                of(|d| d.t),
                of(|d| d.o),
                of(|d| d.i),
                order,
                format!("{:.3e}", row.cost.multiply_adds),
                count(row.cost.bytes),
            ]);
        }
        let mut total = [""; 12].map(String::from);
        total[0] = "total".into();
        (total[10], total[11]) =
            (format!("{:.3e}", self.multiply_adds()), self.bytes().to_string());
        table.push(total);
        let widths: Vec<usize> = (0..12)
            .map(|at| table.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
            .collect();
        for line in table {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, &width))| {
                    if at == 0 || at == 9 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}
